package tests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// open are the mappings of values.yaml that take the fields of a Kubernetes type: the API server knows those better.
func open(path string) bool {
	return strings.Contains(path, "ecurityContext") || strings.Contains(path, "Selector")
}

// walk calls visit for every key of the values, mappings before what they hold.
func walk(values map[string]any, prefix string, visit func(path string, value any)) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := strings.TrimPrefix(prefix+"."+key, ".")
		visit(path, values[key])
		if mapping, ok := values[key].(map[string]any); ok {
			walk(mapping, path, visit)
		}
	}
}

// pointer is a path as the errors of helm have it: /controller/config.
func pointer(path string) string {
	if path == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(path, ".", "/")
}

// named reports whether the error of helm is about this key.
func named(err error, path string) bool {
	return err != nil && strings.Contains(err.Error(), "at '"+pointer(path)+"':")
}

func TestMisspelledKeysAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	values := map[string]any{"replicsa": 1}
	where := []string{""}
	walk(readValues(t, chart+"/values.yaml"), "", func(path string, value any) {
		if mapping, ok := value.(map[string]any); ok && len(mapping) > 0 && !open(path) {
			put(values, path+".replicsa", "1")
			where = append(where, pointer(path))
		}
	})
	_, err := text(t, valuesFlag(t, values))
	for _, path := range where {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("at '%s': additional properties 'replicsa' not allowed", path)) {
			t.Errorf("a misspelled key in %q is not refused", path)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestWrongTypesAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	values := map[string]any{}
	var paths []string
	walk(readValues(t, chart+"/values.yaml"), "", func(path string, value any) {
		if mapping, ok := value.(map[string]any); ok && len(mapping) > 0 || open(path[:max(0, strings.LastIndex(path, "."))]) {
			return
		}
		wrong := any([]any{[]any{}})
		if _, isList := value.([]any); isList {
			wrong = "text"
		}
		put(values, path, wrong)
		paths = append(paths, path)
	})
	_, err := text(t, valuesFlag(t, values))
	for _, path := range paths {
		if !named(err, path) {
			t.Errorf("%s accepts a value of another type", path)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// A key set to null is one that the user takes away. One that is empty by default is then as if it had never been set;
// any other is either left to the program or asked for, and never read as 0 or false without a word.
func TestEveryKeyCanBeTakenAwayOrIsAskedFor(t *testing.T) {
	t.Parallel()
	walk(readValues(t, chart+"/values.yaml"), "", func(path string, byDefault any) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			values := readValues(t, sets(t)["everything"])
			remove(values, path)
			unset, err := text(t, valuesFlag(t, values))
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := text(t, valuesFlag(t, values), "--set", path+"=null")
			if err != nil {
				above, key := "", path
				if dot := strings.LastIndex(path, "."); dot >= 0 {
					above, key = pointer(path[:dot]), path[dot+1:]
				}
				if want := fmt.Sprintf("at '%s': missing property '%s'", above, key); !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not name the key: %v", err)
				}
				return
			}
			parse(t, rendered)
			if isEmptyValue(byDefault) && rendered != unset {
				t.Errorf("null is not the same as the default %#v:\n%s", byDefault, cmp.Diff(unset, rendered))
			}
		})
	})
}

func isEmptyValue(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values string // as for --set
		key    string // that the error has to name
	}{
		"fewer than no replicas":                {"controller.replicas=-1", "controller.replicas"},
		"half a replica":                        {"controller.replicas=1.5", "controller.replicas"},
		"a strategy that does not exist":        {"controller.config.reloadStrategy=envvars", "controller.config.reloadStrategy"},
		"a log level that does not exist":       {"controller.config.logLevel=warning", "controller.config.logLevel"},
		"a log format that does not exist":      {"controller.config.logFormat=xml", "controller.config.logFormat"},
		"a duration without a unit":             {"controller.config.settle=2", "controller.config.settle"},
		"a duration in words":                   {"controller.config.settleMax=2 seconds", "controller.config.settleMax"},
		"a negative duration":                   {"controller.config.settle=-2s", "controller.config.settle"},
		"a lease of half a second":              {"controller.config.leaseDuration=500ms", "controller.config.leaseDuration"},
		"no workers":                            {"controller.config.workers=0", "controller.config.workers"},
		"recording baselines at no rate":        {"controller.config.baselineRate=0", "controller.config.baselineRate"},
		"a negative rate as text":               {"controller.config.kubeApiQps=-1.5", "controller.config.kubeApiQps"},
		"an annotation key with a blank":        {"controller.config.autoAnnotation=my key", "controller.config.autoAnnotation"},
		"an address without a port":             {"controller.config.listenAddress=localhost", "controller.config.listenAddress"},
		"a name with capitals":                  {"controller.config.digestKeySecret=Key", "controller.config.digestKeySecret"},
		"a registry with the tag in it":         {"image.prefix=registry.example.com/inpod:v1", "image.prefix"},
		"a tag with a plus":                     {"image.tag=1.2.3+dirty", "image.tag"},
		"a digest that is cut":                  {"controller.image.digest=sha256:0123", "controller.image.digest"},
		"a pull policy that does not exist":     {"image.pullPolicy=Sometimes", "image.pullPolicy"},
		"namespaces as one text":                {"namespaces=a\\,b", "namespaces"},
		"a namespace twice":                     {"namespaces={a,a}", "namespaces"},
		"a namespace with capitals":             {"namespaces={Shop}", "namespaces.0"},
		"an argument without dashes":            {"controller.extraArgs={workers=3}", "controller.extraArgs.0"},
		"a volume without a name":               {"controller.extraVolumes[0].emptyDir.medium=Memory", "controller.extraVolumes.0"},
		"a budget that blocks every drain":      {"controller.podDisruptionBudget.maxUnavailable=0", "controller.podDisruptionBudget.maxUnavailable"},
		"a budget that blocks them in per cent": {"controller.podDisruptionBudget.maxUnavailable=0%", "controller.podDisruptionBudget.maxUnavailable"},
		"a port out of range":                   {"controller.service.port=70000", "controller.service.port"},
		"no port of the API server":             {"controller.networkPolicy.apiServerPorts=null", "controller.networkPolicy"},
		"a scrape without a unit":               {"controller.serviceMonitor.interval=30", "controller.serviceMonitor.interval"},
		"a resource that does not exist":        {"controller.resources.limits.memroy=1Gi", "controller.resources.limits"},
		"a kind of workload in small letters":   {"controller.workloadKinds[0].kind=cloneSet", "controller.workloadKinds.0.kind"},
		"a kind of workload without its plural": {"controller.workloadKinds[0].kind=CloneSet", "controller.workloadKinds.0"},
		"a path to a template with an index":    {"controller.workloadKinds[0].templatePath=spec.0", "controller.workloadKinds.0.templatePath"},
		// Templates would read these as 0 or false without a word.
		"no number of replicas":                  {"controller.replicas=null", "controller"},
		"no time to stop":                        {"controller.terminationGracePeriodSeconds=null", "controller"},
		"no number of old ReplicaSets":           {"controller.revisionHistoryLimit=null", "controller"},
		"neither all namespaces nor one":         {"watchGlobally=null", ""},
		"a setting that decides on rights":       {"controller.config.reloadInPlace=null", "controller.config"},
		"a field of the pod that the chart has":  {"controller.extraPodSpec.containers[0].name=x", "controller.extraPodSpec"},
		"an injector that blocks pods too long":  {"injector.webhook.timeoutSeconds=60", "injector.webhook.timeoutSeconds"},
		"a failure policy that does not exist":   {"injector.webhook.failurePolicy=ignore", "injector.webhook.failurePolicy"},
		"two certificates":                       {"injector.certManager.enabled=true,injector.existingCertificate.secretName=x", "injector.existingCertificate.secretName"},
		"a CA that is not in base64":             {"injector.existingCertificate.caBundle=-----BEGIN", "injector.existingCertificate.caBundle"},
		"a sidecar below the ports of everybody": {"injector.config.sidecarStatusPort=80", "injector.config.sidecarStatusPort"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := text(t, "--set", tc.values)
			if !named(err, tc.key) {
				t.Errorf("%s is not refused with the name of the key: %v", tc.values, err)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{
		"a rate with a fraction, which helm reads as text": "controller.config.baselineRate=12.5",
		"a whole rate":                                  "controller.config.kubeApiQps=100000",
		"no settling":                                   "controller.config.settle=0s",
		"a duration of several units":                   "controller.config.settleMax=1h2m3.5s",
		"the empty log format of Reloader":              "controller.config.logFormat=",
		"the strategy that Reloader's chart calls so":   "controller.config.reloadStrategy=default",
		"an annotation key without a prefix":            "controller.config.autoAnnotation=auto",
		"a registry with a port":                        "image.prefix=localhost:5000/inpod",
		"memory as a number":                            "controller.resources.limits.memory=268435456",
		"values for all charts of a parent":             "global.imageRegistry=x",
		"OpenShift choosing the user":                   "controller.podSecurityContext.runAsUser=null,controller.podSecurityContext.runAsGroup=null",
		"a chart at rest":                               "controller.replicas=0",
		"an address of one interface, of both families": "controller.config.listenAddress=[::1]:9090",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			render(t, "--set", values)
		})
	}
}
