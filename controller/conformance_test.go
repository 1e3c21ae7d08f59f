package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/version"
)

// verdict is how a thing of Reloader's is here.
type verdict string

const (
	same      verdict = "same"
	better    verdict = "better"
	different verdict = "different"
)

// row is one thing that Reloader has, does, or gets wrong.
type row struct {
	what string
	is   verdict
	how  string   // "" only for what is the same
	by   []string // tests that hold it, or documents
}

// section is one table of the page.
type section struct {
	title, intro string
	rows         []row
}

const root = "../"

// page is docs/conformance.md.
func page() string {
	var text strings.Builder
	text.WriteString(`# Conformance

This page compares inpod with stakater/Reloader v1.4.21.
*Same* means the same name and result.
*Better* means the same without a fault of Reloader.
*Different* means another result on purpose, with the reason.
The last column names the tests that check it.
` + "`go test ./controller`" + ` checks that they exist, and that this page matches the table in the package.
`)
	for _, s := range sections() {
		fmt.Fprintf(&text, "\n## %s\n\n", s.title)
		if s.intro != "" {
			fmt.Fprintf(&text, "%s\n\n", s.intro)
		}
		text.WriteString("| what | is | how | tests |\n|---|---|---|---|\n")
		for _, r := range s.rows {
			cell := strings.NewReplacer("|", `\|`).Replace // in code too, Markdown ends a cell there
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", cell(r.what), r.is, cell(r.how), strings.Join(r.by, ", "))
		}
	}
	return text.String()
}

func TestThePageIsTheTable(t *testing.T) {
	t.Parallel()
	const path = root + "docs/conformance.md"
	if *update {
		if err := os.WriteFile(path, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != page() {
		t.Error("docs/conformance.md is not what the table says: go test ./controller -update")
	}
}

func TestEveryRowIsHeld(t *testing.T) {
	t.Parallel()
	tests := testsOfTheProject(t)
	seen := map[string]bool{}
	for _, s := range sections() {
		for _, r := range s.rows {
			if id := s.title + ": " + r.what; seen[id] {
				t.Errorf("%s is there twice", id)
			} else {
				seen[id] = true
			}
			if r.is != same && r.how == "" {
				t.Errorf("%s: %s is %s, and it does not say how", s.title, r.what, r.is)
			}
			if len(r.by) == 0 {
				t.Errorf("%s: %s is held by nothing", s.title, r.what)
			}
			for _, by := range r.by {
				if strings.HasPrefix(by, "Test") {
					if !tests[by] {
						t.Errorf("%s: %s is held by %s, which does not exist", s.title, r.what, by)
					}
				} else if _, err := os.Stat(root + by); err != nil {
					t.Errorf("%s: %s is held by %s: %v", s.title, r.what, by, err)
				}
			}
		}
	}
}

// testsOfTheProject are the names of all tests, those on the cluster included.
func testsOfTheProject(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, folder := range []string{"controller", "injector", "sidecar", "internal", "charts", "e2e"} {
		err := filepath.WalkDir(root+folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range declared.FindAllSubmatch(text, -1) {
				found[string(match[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Each flag of Reloader is accepted in the forms in which its chart and its manifests write it.
func TestEveryFlagOfReloaderIsAccepted(t *testing.T) {
	t.Parallel()
	if n := len(flags()); n != 29 {
		t.Errorf("%d flags, and Reloader has 29", n)
	}
	for name, forms := range flags() {
		for _, form := range forms {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				args := strings.Split(form, " ")
				if _, err := config.Load(args, []string{"POD_NAME=p", "POD_NAMESPACE=n"}, version.Build{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// flags are Reloader's, each as it is found on a command line. One without forms is not accepted.
func flags() map[string][]string {
	forms := map[string][]string{
		"auto-reload-all":         {"--auto-reload-all", "--auto-reload-all=true"},
		"log-format":              {"--log-format=json", "--log-format="},
		"log-level":               {"--log-level=trace", "--log-level=panic", "--log-level=info"},
		"webhook-url":             {"--webhook-url=https://example.com/hook"},
		"resources-to-ignore":     {"--resources-to-ignore=configMaps", "--resources-to-ignore=secrets"},
		"namespaces":              {"--namespaces=a,b", "--namespaces=a, --namespaces=b"},
		"namespaces-to-ignore":    {"--namespaces-to-ignore=kube-system,a"},
		"namespace-selector":      {"--namespace-selector=team=shop", "--namespace-selector=team:shop,tier:*"},
		"resource-label-selector": {"--resource-label-selector=reload=yes"},
		"is-Argo-Rollouts":        {"--is-Argo-Rollouts=true", "--is-Argo-Rollouts true", "--is-argo-rollouts=true"},
		"reload-strategy":         {"--reload-strategy=env-vars", "--reload-strategy=annotations", "--reload-strategy=default"},
		"reload-on-create":        {"--reload-on-create=true", "--reload-on-create true"},
		"reload-on-delete":        {"--reload-on-delete=true", "--reload-on-delete true"},
		"sync-after-restart":      {"--sync-after-restart", "--sync-after-restart=true"},
		"enable-ha":               {"--enable-ha=true", "--enable-ha"},
		"enable-csi-integration":  nil, // see the page
		"ignored-workload-types":  {"--ignored-workload-types=jobs", "--ignored-workload-types=jobs,CronJobs"},
		"enable-pprof":            {"--enable-pprof", "--enable-pprof=true"},
		"pprof-addr":              {"--pprof-addr=:6060"},
	}
	for _, name := range []string{
		"configmap-annotation", "secret-annotation", "auto-annotation", "configmap-auto-annotation", "secret-auto-annotation", "auto-search-annotation",
		"search-match-annotation", "ignore-annotation", "pause-deployment-annotation", "pause-deployment-time-annotation",
	} {
		forms[name] = []string{"--" + name + "=example.com/" + name}
	}
	return forms
}
