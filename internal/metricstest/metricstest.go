// Package metricstest keeps docs/metrics.md equal to what the programs export. Tests use it: they make the metrics of a
// program as the program does, and the table on the page has to have the same rows. It decides nothing but their form.
package metricstest

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one row.
type Metric struct {
	Name, Type, Help string
	Labels           []string
}

// Of is what a registry has, also where nothing has been counted yet; without the metrics of Go and of the process, which
// are not ours to explain.
func Of(registry *prometheus.Registry) ([]Metric, error) {
	families, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	types := map[string]string{}
	for _, family := range families {
		types[family.GetName()] = strings.ToLower(family.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() { registry.Describe(descs); close(descs) }()
	var all []Metric
	for desc := range descs {
		// The fields of a description are in its text only.
		found := description().FindStringSubmatch(desc.String())
		if found == nil {
			err = fmt.Errorf("the description %s has another form", desc)
			continue
		}
		m := Metric{Name: found[1], Help: found[2]}
		if strings.HasPrefix(m.Name, "go_") || strings.HasPrefix(m.Name, "process_") {
			continue
		}
		if found[3] != "" {
			m.Labels = strings.Split(found[3], ",")
		}
		m.Type = cmp.Or(types[m.Name], usual(m.Name))
		all = append(all, m)
	}
	return all, err
}

func description() *regexp.Regexp {
	return regexp.MustCompile(`^Desc{fqName: "(.*)", help: "(.*?)"(?:, unit: ".*")?, constLabels: {.*}, variableLabels: {(.*)}}$`)
}

// usual is the type of a metric with a name; for those with labels that have not been counted yet.
func usual(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"), strings.Contains(name, "_total_by_"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"), strings.HasSuffix(name, "_latency_seconds"):
		return "histogram"
	default:
		return "gauge"
	}
}

// Parse is what a page in the text format has.
func Parse(page string) []Metric {
	var all []Metric
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		last := len(all) - 1
		if text, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(text, " ")
			all = append(all, Metric{Name: name, Help: help})
		} else if text, ok := strings.CutPrefix(line, "# TYPE "); ok && last >= 0 {
			_, all[last].Type, _ = strings.Cut(text, " ")
		} else if last >= 0 {
			all[last].Labels = nil
			for _, found := range label.FindAllStringSubmatch(line, -1) {
				all[last].Labels = append(all[last].Labels, found[1])
			}
		}
	}
	return all
}

// Compare holds the table of a program on a page to its metrics. With update it writes the table instead.
func Compare(page, program string, metrics []Metric, update bool) error {
	content, err := os.ReadFile(page) //nolint:gosec // a page of this repository
	if err != nil {
		return err
	}
	begin, end := "<!-- "+program+": go test ./"+program+"/... -run TestMetricsAreDocumented -update -->\n", "<!-- end of "+program+" -->\n"
	before, rest, opened := strings.Cut(string(content), begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return fmt.Errorf("%s has no place for the table of the %s: %s%s", page, program, begin, end)
	}
	want := before + begin + table(metrics) + end + after
	if want == string(content) {
		return nil
	}
	if update {
		return os.WriteFile(page, []byte(want), 0o600) //nolint:gosec // as above
	}
	return fmt.Errorf("%s does not say what the %s exports: run go test ./%s/... -run TestMetricsAreDocumented -update", page, program, program)
}

func table(metrics []Metric) string {
	var b strings.Builder
	b.WriteString("\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range slices.SortedFunc(slices.Values(metrics), func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) }) {
		labels := "–"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, labels, strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(m.Help))
	}
	b.WriteString("\n")
	return b.String()
}
