package apivalidation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/inject"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// faults is what an API server would say to the creation of a pod, "" for nothing.
func faults(pod *corev1.Pod) string {
	pod = pod.DeepCopy()
	// What the API server has filled in by then.
	pod.Name, pod.Namespace, pod.Spec.ServiceAccountName = "web-1-abcde", "shop", "default"
	legacyscheme.Scheme.Default(pod)
	internal := &core.Pod{}
	if err := legacyscheme.Scheme.Convert(pod, internal, nil); err != nil {
		return err.Error()
	}
	options := podutil.GetValidationOptionsFromPodSpecAndMeta(&internal.Spec, nil, &internal.ObjectMeta, nil)
	options.ResourceIsPod = true
	return fmt.Sprint(validation.ValidatePodCreate(internal, options).ToAggregate())
}

const none = "<nil>"

// level is the strictest level of Pod Security that admits a pod.
func level(t testing.TB, evaluator policy.Evaluator, pod *corev1.Pod) api.Level {
	t.Helper()
	for _, l := range []api.Level{api.LevelRestricted, api.LevelBaseline} {
		if policy.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: l, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)).Allowed {
			return l
		}
	}
	return api.LevelPrivileged
}

func options() inject.Options {
	return inject.Options{
		Namespace: "shop", Server: "v1.37.2", NativeSidecars: true, Image: "inpod/sidecar:1.0.0", PullPolicy: corev1.PullIfNotPresent,
		CPURequest: resource.MustParse("5m"), MemoryRequest: resource.MustParse("16Mi"), MemoryLimit: resource.MustParse("64Mi"),
		StatusPort: 27467, ConfirmKey: "c0ffee",
	}
}

// check holds everything that is promised of one pod. It reports whether it got the sidecar.
func check(t testing.TB, evaluator policy.Evaluator, pod *corev1.Pod, o inject.Options) bool {
	t.Helper()
	before := pod.DeepCopy()
	change, report := inject.Inject(pod, o)
	if !equality.Semantic.DeepEqual(before, pod) {
		t.Errorf("the given pod was changed\n%s", text(before))
	}
	if report.Reason == inject.InternalError {
		t.Errorf("a violated invariant: %s\n%s", report.Message, text(pod))
	}
	after := change.Apply(pod)
	if found := faults(after); found != none {
		t.Errorf("%s: the API server says: %s\n%s", report.Reason, found, text(pod))
	}
	if l, with := level(t, evaluator, pod), level(t, evaluator, after); l != with {
		t.Errorf("%s: Pod Security was %s and is %s\n%s", report.Reason, l, with, text(pod))
	}
	if report.Reason != inject.Injected {
		return false
	}
	if again, second := inject.Inject(after, o); !again.IsZero() || second.Reason != inject.AlreadyInjected {
		t.Errorf("a second time: %s\n%s", second.Reason, text(pod))
	}
	return true
}

func text(pod *corev1.Pod) string {
	out, err := yaml.Marshal(pod)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func TestTheGoldenPodsPassKubernetesValidation(t *testing.T) {
	t.Parallel()
	evaluator := newEvaluator(t)
	files, err := filepath.Glob("../testdata/pods/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pods: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.Pod
			if err := yaml.UnmarshalStrict(content, &pod); err != nil {
				t.Fatal(err)
			}
			if found := faults(&pod); found != none {
				t.Fatalf("the API server refuses the pod as it is: %s", found)
			}
			check(t, evaluator, &pod, options())
		})
	}
}

func newEvaluator(t testing.TB) policy.Evaluator {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return evaluator
}

// Random pods with random annotations. INPOD_RANDOM_PODS says how many, INPOD_RANDOM_SEED which.
func TestRandomPodsPassKubernetesValidation(t *testing.T) {
	t.Parallel()
	count, seed := number(t, "INPOD_RANDOM_PODS", 5_000), number(t, "INPOD_RANDOM_SEED", 1)
	const workers = 4
	var injected, refused, admitted [workers]int
	reasons := [workers]map[inject.Reason]int{}
	var work sync.WaitGroup
	for w := range workers {
		reasons[w] = map[inject.Reason]int{}
		work.Go(func() {
			evaluator := newEvaluator(t)
			for i := w; i < count && !t.Failed(); i += workers {
				g := generator{rand.New(rand.NewPCG(uint64(seed), uint64(i)))}
				pod, o := g.pod(), g.options()
				if faults(pod) != none {
					refused[w]++ // the API server would not take it without the sidecar either
					continue
				}
				admitted[w]++
				_, report := inject.Inject(pod, o)
				reasons[w][report.Reason]++
				if check(t, evaluator, pod, o) {
					injected[w]++
				}
			}
		})
	}
	work.Wait()
	all, sum := map[inject.Reason]int{}, func(of [workers]int) (n int) {
		for _, v := range of {
			n += v
		}
		return n
	}
	for _, r := range reasons {
		for reason, n := range r {
			all[reason] += n
		}
	}
	t.Logf("%d pods: %d that the API server takes, %d of them injected, %d that it refuses as they are; reasons %v",
		count, sum(admitted), sum(injected), sum(refused), all)
	if sum(injected) < count/10 {
		t.Errorf("only %d of %d pods were injected, so that little was tried", sum(injected), count)
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number above zero", name, value)
	}
	return n
}

// generator makes pods as people write them, odd ones among them.
type generator struct{ *rand.Rand }

func (g generator) maybe(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

func (g generator) pod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", Labels: map[string]string{"app": "web"}, Annotations: g.annotations()}}
	s := &pod.Spec
	for i := range 1 + g.IntN(4) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "v" + strconv.Itoa(i), VolumeSource: g.source()})
	}
	if g.maybe(20) {
		s.Volumes[0].Name = pick(g, "inpod", "inpod-2")
	}
	token := g.maybe(60)
	if token {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
		}}}})
	}
	for i := range 1 + g.IntN(3) {
		s.Containers = append(s.Containers, g.container("c"+strconv.Itoa(i), s.Volumes, token))
	}
	for i := range g.IntN(3) {
		c := g.container("i"+strconv.Itoa(i), s.Volumes, token)
		if g.maybe(40) {
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		} else {
			c.LivenessProbe = nil
		}
		s.InitContainers = append(s.InitContainers, c)
	}
	if g.maybe(5) {
		s.Containers[0].Name = pick(g, "inpod", "inpod-install")
	}
	g.settings(s)
	return pod
}

func (g generator) settings(s *corev1.PodSpec) {
	if g.maybe(30) {
		s.ShareProcessNamespace = new(g.maybe(60))
	}
	s.HostPID = g.maybe(5)
	s.HostNetwork = g.maybe(8)
	if g.maybe(3) {
		s.OS = &corev1.PodOS{Name: pick(g, corev1.Linux, corev1.Windows)}
	}
	if g.maybe(60) {
		c := &corev1.PodSecurityContext{}
		if g.maybe(50) {
			c.RunAsNonRoot = new(g.maybe(80))
		}
		if g.maybe(50) {
			c.RunAsUser = new(pick(g, int64(0), 101, 10001))
		}
		if g.maybe(50) {
			c.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
		}
		if g.maybe(20) {
			c.FSGroup = new(int64(2000))
		}
		s.SecurityContext = c
	}
	s.RestartPolicy = pick(g, corev1.RestartPolicyAlways, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	if g.maybe(15) {
		term := corev1.PodAffinityTerm{TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{}}
		if g.maybe(50) {
			term.Namespaces = []string{"other"}
		}
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}}
	}
	if g.maybe(5) {
		s.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}}
	}
}

func (g generator) items() []corev1.KeyToPath {
	if g.maybe(50) {
		return nil
	}
	var items []corev1.KeyToPath
	for _, key := range []string{"a", "b.conf", "c"}[:1+g.IntN(3)] {
		items = append(items, corev1.KeyToPath{Key: key, Path: pick(g, key, "d/"+key, key+",x", key+":x")})
	}
	return items
}

func (g generator) source() corev1.VolumeSource {
	name := corev1.LocalObjectReference{Name: pick(g, "conf", "other", "third")}
	var optional *bool
	if g.maybe(20) {
		optional = new(true)
	}
	switch g.IntN(8) {
	case 0, 1, 2:
		return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name, Items: g.items(), Optional: optional}}
	case 3:
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name.Name, Items: g.items(), DefaultMode: new(pick(g, int32(0o400), 0o644))}}
	case 4:
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	case 5:
		return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
			Driver: pick(g, "secrets-store.csi.k8s.io", "csi.spiffe.io"), ReadOnly: new(true),
			VolumeAttributes: map[string]string{"secretProviderClass": "vault"},
		}}
	}
	p := &corev1.ProjectedVolumeSource{}
	for range 1 + g.IntN(3) {
		switch g.IntN(7) {
		case 5:
			p.Sources = append(p.Sources, corev1.VolumeProjection{PodCertificate: g.certificate()})
		case 6:
			p.Sources = append(p.Sources, corev1.VolumeProjection{ClusterTrustBundle: g.bundle()})
		case 0, 1:
			p.Sources = append(p.Sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name, Items: g.items(), Optional: optional}})
		case 2:
			p.Sources = append(p.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: name}})
		case 3:
			p.Sources = append(p.Sources, corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: pick(g, "", "vault")}})
		case 4:
			p.Sources = append(p.Sources, corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels"}},
			}}})
		}
	}
	return corev1.VolumeSource{Projected: p}
}

func (g generator) certificate() *corev1.PodCertificateProjection {
	c := &corev1.PodCertificateProjection{SignerName: "example.com/signer", KeyType: pick(g, "ED25519", "ECDSAP256"), MaxExpirationSeconds: new(int32(3600))}
	if g.maybe(50) {
		c.CredentialBundlePath = pick(g, "pod.pem", "d/pod.pem", "pod,1.pem")
	} else {
		c.KeyPath, c.CertificateChainPath = "key.pem", pick(g, "chain.pem", "d/chain.pem")
	}
	return c
}

func (g generator) bundle() *corev1.ClusterTrustBundleProjection {
	b := &corev1.ClusterTrustBundleProjection{Path: pick(g, "ca.crt", "d/ca.crt", "x:ca.crt")}
	if g.maybe(20) {
		b.Optional = new(true)
	}
	switch g.IntN(3) {
	case 0:
		b.Name = new(pick(g, "roots", "example.com:signer:roots", "kubernetes.io:kube-apiserver-serving:live"))
	case 1:
		b.SignerName, b.LabelSelector = new("example.com/signer"), &metav1.LabelSelector{}
	case 2:
		b.SignerName = new(pick(g, "example.com/signer", "kubernetes.io/kube-apiserver-serving"))
		b.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}, MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "a", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "c"}},
		}}
	}
	return b
}

func (g generator) container(name string, volumes []corev1.Volume, token bool) corev1.Container {
	c := corev1.Container{Name: name, Image: "app:1", TerminationMessagePolicy: corev1.TerminationMessageReadFile}
	paths := []string{"/etc/a", "/etc/a/b", "/.inpod", "/etc/c/", "/data", "/var/run/secrets"}
	for _, v := range volumes {
		if v.Name == "kube-api-access-x" || !g.maybe(60) {
			continue
		}
		mount := corev1.VolumeMount{Name: v.Name, MountPath: paths[0], ReadOnly: g.maybe(50)}
		paths = paths[1:]
		switch {
		case g.maybe(20):
			mount.SubPath = pick(g, "a", "d/a", "b.conf")
		case g.maybe(5):
			mount.SubPathExpr = "$(POD)"
		}
		c.VolumeMounts = append(c.VolumeMounts, mount)
	}
	if token {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access-x", ReadOnly: true, MountPath: pick(g, tokenPath, tokenPath, tokenPath, "/tokens")})
	}
	if g.maybe(40) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: pick(g, int32(80), 8080, 27467, 9798), Name: pick(g, "", "http", "inpod")}}
	}
	c.Env = []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}}
	if g.maybe(20) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
			corev1.EnvVar{Name: "OF", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: name, Resource: "requests.cpu"}}})
	}
	c.SecurityContext = g.securityContext()
	if g.maybe(40) {
		amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(pick(g, "10m", "1")), corev1.ResourceMemory: resource.MustParse(pick(g, "16Mi", "1Gi"))}
		c.Resources.Limits = amounts
		if g.maybe(50) {
			c.Resources.Requests = amounts.DeepCopy()
		}
	}
	if g.maybe(20) {
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	}
	return c
}

func (g generator) securityContext() *corev1.SecurityContext {
	if g.maybe(30) {
		return nil
	}
	c := &corev1.SecurityContext{}
	if g.maybe(60) {
		c.AllowPrivilegeEscalation = new(false)
		c.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
		if g.maybe(20) {
			c.Capabilities.Add = []corev1.Capability{pick(g, corev1.Capability("NET_BIND_SERVICE"), "CHOWN")}
		}
	}
	if g.maybe(40) {
		c.RunAsUser = new(pick(g, int64(0), 101, 10001))
	}
	if g.maybe(40) {
		c.RunAsNonRoot = new(g.maybe(80))
	}
	if g.maybe(20) {
		c.ReadOnlyRootFilesystem = new(true)
	}
	if g.maybe(30) {
		c.SeccompProfile = &corev1.SeccompProfile{Type: pick(g, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)}
	}
	return c
}

// values are for any key: each is good for some and odd for others.
func (g generator) value() string {
	return pick(g, "nginx", "haproxy", "apache2", "caddy", "prometheus", "postgresql", "HUP", "USR1", "http://127.0.0.1:8080/-/reload", "https://web/reload",
		"unix:/etc/a/s.sock:/reload", `["nginx","-t"]`, `["sh","-c","$(POD)"]`, "true", "false", "5s", "30s", "0", "101", "10m", "64Mi", "1Gi", "27467", "8080", "18797",
		"c0", "c1", "i0", "app", "^app", "200,204", "POST", "/etc/a/a", "/etc/a/b/c", tokenPath+"/token", tokenPath+"/ca.crt", "/var/run/secrets/x", "/etc/c/x",
		"Authorization=/etc/a/token", "Authorization="+tokenPath+"/token\nX-A=/etc/a/b", "example.com/app:1", "$(POD)", "ä€", "", strings.Repeat("x", 70), path.Join("/", "a"))
}

func (g generator) annotations() map[string]string {
	annotations := map[string]string{annotation.InjectKey: "enabled"}
	if g.maybe(60) {
		annotations["inpod.dev/preset"] = pick(g, "nginx", "haproxy", "apache2", "caddy", "prometheus", "postgresql", "php-fpm")
	} else {
		switch g.IntN(3) {
		case 0:
			annotations["inpod.dev/reload-url"] = pick(g, "http://127.0.0.1:8080/-/reload", "unix:/data/s.sock:/reload")
		case 1:
			annotations["inpod.dev/reload-signal"], annotations["inpod.dev/reload-process"] = "HUP", "app"
		case 2:
			annotations["inpod.dev/reload-command"] = `["app","reload"]`
		}
	}
	keys := slices.Sorted(slices.Values(annotation.InjectionKeys()))
	for range max(0, g.IntN(8)-5) {
		annotations[keys[g.IntN(len(keys))]] = g.value()
	}
	// Values that are good for the keys which lead to mounts, users and resources are tried often.
	for key, values := range map[string][]string{
		"inpod.dev/reload-header-from": {"Authorization=/etc/a/a", "Authorization=" + tokenPath + "/token", "A=/etc/a/a\nB=/etc/a/b/c\nC=/data/x"},
		"inpod.dev/watch": {
			"/etc/a", "/etc/a/b/c,/etc/a", "/etc/a/ca.crt", "/etc/a,/etc/a", "etc", "/data", "/data,/etc/c", "/.inpod", "/etc/a/token,/etc/a/labels",
			tokenPath, tokenPath + "/token", "/var/run/secrets", "/tokens", "/x:y", "/etc/a/x:ca.crt", "/etc/a/key.pem",
		},
		"inpod.dev/reload-ca-file":         {"/etc/a/a", tokenPath + "/ca.crt", "/data/ca"},
		"inpod.dev/reload-container":       {"c0", "c1", "i0"},
		"inpod.dev/sidecar-run-as-user":    {"0", "101"},
		"inpod.dev/native-sidecar":         {"true", "false"},
		"inpod.dev/application-image":      {"true", "false"},
		"inpod.dev/status-port":            {"9798", "18797"},
		"inpod.dev/sidecar-memory-limit":   {"8Mi", "128Mi"},
		"inpod.dev/sidecar-memory-request": {"8Mi", "256Mi"},
		"inpod.dev/validate-command":       {`["nginx","-t"]`},
	} {
		if g.maybe(12) {
			annotations[key] = pick(g, values...)
		}
	}
	if g.maybe(50) {
		annotations["inpod.dev/reload-container"] = "c0"
	}
	if g.maybe(10) {
		maps.DeleteFunc(annotations, func(key, _ string) bool { return key == annotation.InjectKey })
	}
	return annotations
}

func (g generator) options() inject.Options {
	o := options()
	o.NativeSidecars = g.maybe(80)
	o.NamespaceAsks = g.maybe(30)
	if g.maybe(10) {
		o.CPURequest, o.MemoryRequest, o.MemoryLimit = resource.Quantity{}, resource.Quantity{}, resource.Quantity{}
	}
	return o
}
