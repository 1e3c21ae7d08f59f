package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/inject"
)

// violations is what keeps a pod from Pod Security "restricted", of what an injection could bring in.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
func violations(spec corev1.PodSpec) []string {
	var found []string
	pod := spec.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		violated := func(isViolated bool, what string) {
			if isViolated {
				found = append(found, c.Name+": "+what)
			}
		}
		own := c.SecurityContext
		if own == nil {
			own = &corev1.SecurityContext{}
		}
		nonRoot, seccomp, uid := own.RunAsNonRoot, own.SeccompProfile, own.RunAsUser
		if nonRoot == nil {
			nonRoot = pod.RunAsNonRoot
		}
		if seccomp == nil {
			seccomp = pod.SeccompProfile
		}
		violated(nonRoot == nil || !*nonRoot, "runAsNonRoot")
		violated(uid != nil && *uid == 0, "runAsUser 0")
		violated(seccomp == nil || seccomp.Type == corev1.SeccompProfileTypeUnconfined, "seccompProfile")
		violated(own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation, "allowPrivilegeEscalation")
		violated(own.Capabilities == nil || !slices.Contains(own.Capabilities.Drop, "ALL"), "capabilities are not dropped")
		violated(own.Capabilities != nil && len(own.Capabilities.Add) > 0, "capabilities are added")
	}
	return found
}

// Wherever the application passes "restricted", it does with the sidecar, however that runs.
func TestARestrictedPodStaysRestricted(t *testing.T) {
	t.Parallel()
	restricted := spec(func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}
		s.Containers[0].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	})
	alone := spec(func(s *corev1.PodSpec) {
		c := s.Containers[0].SecurityContext
		c.RunAsNonRoot, c.SeccompProfile, s.SecurityContext = s.SecurityContext.RunAsNonRoot, s.SecurityContext.SeccompProfile, nil
	})
	for name, changes := range map[string][]change{
		"what the container alone says, and a signal":     {alone},
		"what the container alone says, and a known user": {alone, web(func(c *corev1.Container) { c.SecurityContext.RunAsUser = new(int64(101)) })},
		"what the container alone says, and a URL":        {alone, without("inpod.dev/preset"), annotated(url, "http://127.0.0.1/")},
		"a signal and a user that the image decides":      nil,
		"a signal and a known user":                       {spec(func(s *corev1.PodSpec) { s.SecurityContext.RunAsUser = new(int64(101)) })},
		"a user of the container alone": {web(func(c *corev1.Container) {
			c.SecurityContext.RunAsUser, c.SecurityContext.RunAsNonRoot = new(int64(101)), new(true)
		})},
		"an ordinary container": {annotated("inpod.dev/native-sidecar", "false")},
		"a URL":                 {without("inpod.dev/preset"), annotated(url, "http://127.0.0.1/")},
		"a command":             {annotated("inpod.dev/reload-command", `["nginx","-s","reload"]`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(append([]change{restricted}, changes...)...)
			if found := violations(pod.Spec); len(found) > 0 {
				t.Fatalf("the pod is not restricted before: %v", found)
			}
			injected, report := injectInto(pod, o)
			if report.Reason != inject.Injected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			if found := violations(injected.Spec); len(found) > 0 {
				t.Errorf("violations: %v", found)
			}
		})
	}
}

// Who may be root gets KILL for a signal, and what the application has for its programs. Nobody else gets anything.
func TestWhoGetsCapabilities(t *testing.T) {
	t.Parallel()
	user := func(id int64) change {
		return spec(func(s *corev1.PodSpec) { s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &id} })
	}
	may := func(c corev1.SecurityContext) change {
		return web(func(w *corev1.Container) { w.SecurityContext = &c })
	}
	byURL := []change{without("inpod.dev/preset"), annotated(url, "http://x/")}
	command := annotated("inpod.dev/reload-command", `["nginx","-s","reload"]`)
	drops := &corev1.Capabilities{Drop: []corev1.Capability{"all"}, Add: []corev1.Capability{"CAP_CHOWN"}}
	const usual = "CHOWN DAC_OVERRIDE FOWNER KILL NET_BIND_SERVICE SETGID SETUID"
	for name, tc := range map[string]struct {
		changes []change
		want    string
	}{
		"root":                             {[]change{user(0)}, "KILL"},
		"a user that the image decides":    {nil, "KILL"},
		"another user":                     {[]change{user(101)}, ""},
		"root, reloaded by URL":            {append(byURL, user(0)), ""},
		"root by annotation":               {[]change{user(101), annotated("inpod.dev/sidecar-run-as-user", "0")}, "KILL"},
		"the image, which may not be root": {[]change{may(corev1.SecurityContext{RunAsNonRoot: new(true)})}, ""},
		"a command of root":                {[]change{user(0), command}, usual},
		"a command of the image's user":    {[]change{command}, usual},
		"a command of another user":        {[]change{user(101), command}, ""},
		"a validator before a signal":      {[]change{annotated("inpod.dev/preset", "apache2")}, usual},
		"a command of a root that has dropped": {
			[]change{may(corev1.SecurityContext{RunAsUser: new(int64(0)), Capabilities: drops}), command}, "CHOWN",
		},
		"a validator before a signal, of a root that has dropped": {
			[]change{may(corev1.SecurityContext{RunAsUser: new(int64(0)), Capabilities: drops}), annotated("inpod.dev/preset", "apache2")}, "CHOWN KILL",
		},
	} {
		pod, o := nginx(tc.changes...)
		injected, report := injectInto(pod, o)
		sidecar := sidecarOf(injected)
		if sidecar == nil {
			t.Errorf("%s: %s: %s", name, report.Reason, report.Message)
			continue
		}
		var got []string
		for _, c := range sidecar.SecurityContext.Capabilities.Add {
			got = append(got, string(c))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}

func sidecarOf(pod *corev1.Pod) *corev1.Container {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == inject.ContainerName {
				return &containers[i]
			}
		}
	}
	return nil
}

func TestTheProcessNamespaceIsSetOnlyWhereItIsNot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		changes   []change
		wantValue *bool
		wantOurs  bool
	}{
		"a signal":                   {nil, new(true), true},
		"a signal, shared already":   {[]change{spec(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(true) })}, new(true), false},
		"a URL":                      {[]change{without("inpod.dev/preset"), annotated(url, "http://x/")}, nil, false},
		"a URL of a preset":          {[]change{annotated("inpod.dev/preset", "prometheus")}, nil, false},
		"a URL, and a process named": {[]change{annotated("inpod.dev/preset", "prometheus", "inpod.dev/reload-process", "x")}, new(true), true},
	} {
		pod, o := nginx(tc.changes...)
		injected, report := injectInto(pod, o)
		got := injected.Spec.ShareProcessNamespace
		if (got == nil) != (tc.wantValue == nil) || got != nil && *got != *tc.wantValue || report.Record.SharedProcesses != tc.wantOurs {
			t.Errorf("%s: %v, ours %v", name, got, report.Record.SharedProcesses)
		}
	}
}

// In a volume in which the kubelet also renews a token, the keys that were chosen count, where they are known and there.
func TestWhatIsWatchedInAMixedVolume(t *testing.T) {
	t.Parallel()
	conf := func(optional bool, items ...string) corev1.VolumeProjection {
		c := &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, Optional: &optional}
		for _, path := range items {
			c.Items = append(c.Items, corev1.KeyToPath{Key: "key", Path: path})
		}
		return corev1.VolumeProjection{ConfigMap: c}
	}
	token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}
	bundle := corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: new("roots"), Path: "ca.crt"}}
	certificate := corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{
		CredentialBundlePath: "pod.pem", KeyPath: "tls/key.pem", CertificateChainPath: "tls/chain.pem",
	}}
	odd := corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{CredentialBundlePath: "pod,1.pem"}}
	for name, tc := range map[string]struct {
		sources []corev1.VolumeProjection
		want    string
	}{
		"keys and a bundle":                      {[]corev1.VolumeProjection{conf(false, "a"), bundle}, ""},
		"keys and a certificate of the pod":      {[]corev1.VolumeProjection{conf(false, "a"), certificate}, ""},
		"keys, a bundle and a token":             {[]corev1.VolumeProjection{conf(false, "a"), bundle, token}, ":a,ca.crt"},
		"keys, a certificate and a token":        {[]corev1.VolumeProjection{conf(false, "a"), certificate, token}, ":a,pod.pem,tls/key.pem,tls/chain.pem"},
		"keys, a certificate at an odd path":     {[]corev1.VolumeProjection{conf(false, "a"), odd, token}, ""},
		"a certificate of the pod and a token":   {[]corev1.VolumeProjection{certificate, token}, ":pod.pem,tls/key.pem,tls/chain.pem"},
		"nothing but a certificate and a bundle": {[]corev1.VolumeProjection{certificate, bundle}, ""},
		"keys and a token":                       {[]corev1.VolumeProjection{conf(false, "a", "b/c"), token}, ":a,b/c"},
		"keys alone":                             {[]corev1.VolumeProjection{conf(false, "a")}, ""},
		"all keys and a token":                   {[]corev1.VolumeProjection{conf(false), token}, ""},
		"optional keys and a token":              {[]corev1.VolumeProjection{conf(true, "a"), token}, ""},
		"a key with a comma":                     {[]corev1.VolumeProjection{conf(false, "a,b"), token}, ""},
		"keys of two, one of it all":             {[]corev1.VolumeProjection{conf(false, "a"), conf(false), token}, ""},
	} {
		pod, o := nginx(spec(func(s *corev1.PodSpec) {
			s.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: tc.sources}}
		}))
		injected, _ := injectInto(pod, o)
		if got, want := sidecarOf(injected).Args[0], "--watch=/etc/nginx/conf.d"+tc.want; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// What the kubelet writes of the pod itself is no configuration: an annotation that anybody puts on the pod changes it.
func TestFilesOfThePodItselfAreIgnored(t *testing.T) {
	t.Parallel()
	conf := func(items ...string) corev1.VolumeProjection {
		c := &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}}
		for _, path := range items {
			c.Items = append(c.Items, corev1.KeyToPath{Key: "key", Path: path})
		}
		return corev1.VolumeProjection{ConfigMap: c}
	}
	ofPod := func(paths ...string) corev1.VolumeProjection {
		d := &corev1.DownwardAPIProjection{}
		for _, path := range paths {
			d.Items = append(d.Items, corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations"}})
		}
		return corev1.VolumeProjection{DownwardAPI: d}
	}
	token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "tokens/vault"}}
	bundle := corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Path: "ca.crt"}}
	certificate := corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{CredentialBundlePath: "pod.pem"}}
	for name, tc := range map[string]struct {
		sources []corev1.VolumeProjection
		beside  *corev1.DownwardAPIVolumeSource
		also    []corev1.VolumeProjection // in a volume of their own
		want    []string
	}{
		"all keys beside annotations and a token": {
			sources: []corev1.VolumeProjection{conf(), ofPod("annotations.txt", "./pod//labels"), token},
			want: []string{
				"--watch=/etc/nginx/conf.d", "--ignore=/etc/nginx/conf.d/annotations.txt", "--ignore=/etc/nginx/conf.d/pod/labels",
				"--ignore=/etc/nginx/conf.d/tokens/vault",
			},
		},
		"whichever comes first": {
			sources: []corev1.VolumeProjection{ofPod("annotations.txt"), conf()},
			want:    []string{"--watch=/etc/nginx/conf.d", "--ignore=/etc/nginx/conf.d/annotations.txt"},
		},
		"names that mean something on a command line": {
			sources: []corev1.VolumeProjection{conf(), ofPod("a:b,c;d $(HOME)")},
			want:    []string{"--watch=/etc/nginx/conf.d", "--ignore=/etc/nginx/conf.d/a:b,c;d $$(HOME)"},
		},
		"a key that takes the place of one": {
			sources: []corev1.VolumeProjection{conf(), ofPod("site.conf", "labels"), conf("./site.conf")},
			want:    []string{"--watch=/etc/nginx/conf.d", "--ignore=/etc/nginx/conf.d/labels"},
		},
		"one that takes the place of a key": {
			sources: []corev1.VolumeProjection{conf(), conf("site.conf"), ofPod("site.conf")},
			want:    []string{"--watch=/etc/nginx/conf.d", "--ignore=/etc/nginx/conf.d/site.conf"},
		},
		"bundles that take the place of what is of the pod": {
			sources: []corev1.VolumeProjection{conf(), ofPod("ca.crt", "pod.pem"), bundle, certificate},
			want:    []string{"--watch=/etc/nginx/conf.d", "--trust-bundle=/etc/nginx/conf.d/ca.crt"},
		},
		"only some keys are watched": {
			sources: []corev1.VolumeProjection{conf("a"), ofPod("annotations.txt")},
			want:    []string{"--watch=/etc/nginx/conf.d:a"},
		},
		"bundles and certificates stay watched": {
			sources: []corev1.VolumeProjection{conf(), bundle, certificate},
			want:    []string{"--watch=/etc/nginx/conf.d", "--trust-bundle=/etc/nginx/conf.d/ca.crt"},
		},
		"a certificate in a volume of its own is watched too": {
			sources: []corev1.VolumeProjection{conf("a")},
			also:    []corev1.VolumeProjection{certificate},
			want:    []string{"--watch=/etc/nginx/conf.d", "--watch=/etc/tls"},
		},
		"a bundle in a volume of its own is watched too": {
			sources: []corev1.VolumeProjection{conf("a"), token},
			also:    []corev1.VolumeProjection{bundle},
			want:    []string{"--watch=/etc/nginx/conf.d:a", "--watch=/etc/tls", "--trust-bundle=/etc/tls/ca.crt"},
		},
		"a token in a volume of its own is not": {
			sources: []corev1.VolumeProjection{conf("a")},
			also:    []corev1.VolumeProjection{token},
			want:    []string{"--watch=/etc/nginx/conf.d"},
		},
		"a volume of its own below": {
			sources: []corev1.VolumeProjection{conf()},
			beside:  &corev1.DownwardAPIVolumeSource{Items: ofPod("annotations.txt").DownwardAPI.Items},
			want:    []string{"--watch=/etc/nginx/conf.d"},
		},
	} {
		pod, o := nginx(spec(func(s *corev1.PodSpec) {
			s.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: tc.sources}}
			if tc.beside != nil {
				s.Volumes = append(s.Volumes, corev1.Volume{Name: "pod", VolumeSource: corev1.VolumeSource{DownwardAPI: tc.beside}})
				s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "pod", MountPath: "/etc/nginx/conf.d/pod"})
			}
			if tc.also != nil {
				s.Volumes = append(s.Volumes, corev1.Volume{Name: "also", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: tc.also}}})
				s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "also", MountPath: "/etc/tls"})
			}
		}))
		injected, _ := injectInto(pod, o)
		var got []string
		for _, arg := range sidecarOf(injected).Args {
			if strings.HasPrefix(arg, "--watch=") || strings.HasPrefix(arg, "--ignore=") || strings.HasPrefix(arg, "--trust-bundle=") {
				got = append(got, arg)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What somebody else writes is watched where its user names it, beside what is live by itself.
func TestWhatIsNamedIsWatched(t *testing.T) {
	t.Parallel()
	labels := corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
		{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
		{Path: "annotations", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations"}},
	}}}
	conf := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}}}
	some := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, Items: []corev1.KeyToPath{{Key: "a", Path: "a"}},
	}}
	const at = "/etc/nginx/conf.d"
	for name, tc := range map[string]struct {
		volume change
		watch  string
		want   []string
	}{
		"a volume of a driver":                   {csi("csi.spiffe.io"), at, []string{"--watch=" + at}},
		"a file in it":                           {csi("csi.spiffe.io"), at + "/svid.pem", []string{"--watch=" + at + ":svid.pem"}},
		"two files in it, with a blank between":  {csi("csi.spiffe.io"), at + "/svid.pem, " + at + "/tls/key", []string{"--watch=" + at + ":svid.pem,tls/key"}},
		"a file with a colon":                    {csi("csi.spiffe.io"), at + "/a:b", []string{"--watch=" + at + "/a:b:"}},
		"a file, and all of it":                  {csi("csi.spiffe.io"), at + "/svid.pem," + at, []string{"--watch=" + at}},
		"all of it, and a file":                  {csi("csi.spiffe.io"), at + "," + at + "/svid.pem", []string{"--watch=" + at}},
		"what is live by itself":                 {mounting(conf), at, []string{"--watch=" + at}},
		"a file of what is live by itself":       {mounting(conf), at + "/a", []string{"--watch=" + at}},
		"labels beside all keys":                 {mounting(conf, labels), at + "/labels", []string{"--watch=" + at, "--ignore=" + at + "/annotations"}},
		"labels beside a key":                    {mounting(some, labels), at + "/labels", []string{"--watch=" + at + ":a,labels"}},
		"a whole volume with tokens":             {mounting(some, token("vault")), at, []string{"--watch=" + at, "--ignore=" + at + "/token"}},
		"a whole volume of the downward API":     {mounting(labels), at, []string{"--watch=" + at, "--ignore=" + at + "/annotations"}},
		"labels in a volume of the downward API": {ofPod("metadata.labels"), at + "/file", []string{"--watch=" + at + ":file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.volume, annotated(watch, tc.watch))
			injected, report := injectInto(pod, o)
			if report.Reason != inject.Injected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			var got []string
			for _, arg := range sidecarOf(injected).Args {
				if strings.HasPrefix(arg, "--watch=") || strings.HasPrefix(arg, "--ignore=") || strings.HasPrefix(arg, "--trust-bundle=") {
					got = append(got, arg)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			mounts := func(m corev1.VolumeMount) bool { return m.MountPath == at && m.Name == "conf" && m.ReadOnly }
			if !slices.ContainsFunc(sidecarOf(injected).VolumeMounts, mounts) {
				t.Errorf("mounts %v, want %s to be read", sidecarOf(injected).VolumeMounts, at)
			}
		})
	}
}

// The API server rejects a container that requests more than it may use, and a pod for one such container.
func TestRequestsNeverExceedLimits(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{
		"more requested than the default limit": {"inpod.dev/sidecar-memory-request", "128Mi"},
		"less allowed than the default request": {"inpod.dev/sidecar-memory-limit", "8Mi"},
		"programs of the application":           {"inpod.dev/reload-command", `["x"]`},
	} {
		pod, o := nginx(annotated(keys...))
		injected, _ := injectInto(pod, o)
		for _, c := range slices.Concat(injected.Spec.InitContainers, injected.Spec.Containers) {
			for resourceName, request := range c.Resources.Requests {
				if limit, ok := c.Resources.Limits[resourceName]; ok && request.Cmp(limit) > 0 {
					t.Errorf("%s: %s requests %s of %s and may use %s", name, c.Name, request.String(), resourceName, limit.String())
				}
			}
		}
	}
}

func TestZeroMeansNoRequestAndNoLimit(t *testing.T) {
	t.Parallel()
	pod, o := nginx(given(func(o *inject.Options) {
		o.CPURequest, o.MemoryRequest, o.MemoryLimit = resource.Quantity{}, resource.Quantity{}, resource.Quantity{}
	}))
	injected, _ := injectInto(pod, o)
	if r := sidecarOf(injected).Resources; len(r.Requests)+len(r.Limits) > 0 {
		t.Errorf("resources: %+v", r)
	}
}

// Whatever stands in annotations: there is an answer, the pod that was given stays as it is, and an injected one is not
// injected again.
func FuzzInject(f *testing.F) {
	keys := append(annotation.InjectionKeys(), annotation.InjectKey)
	f.Add("nginx", uint8(0), "x", uint8(1))
	f.Add("", uint8(3), `["a"]`, uint8(5))
	f.Add("redis", uint8(9), "unix:/etc/nginx/conf.d/s", uint8(13))
	f.Add("apache2", uint8(17), "$(HOME)", uint8(20))
	f.Fuzz(func(t *testing.T, preset string, first uint8, value string, second uint8) {
		pod, o := nginx(annotated("inpod.dev/preset", preset, keys[int(first)%len(keys)], value, keys[int(second)%len(keys)], value))
		before := pod.DeepCopy()
		injected, report := injectInto(pod, o)
		if !slices.Contains(inject.Reasons(), report.Reason) {
			t.Errorf("reason %q", report.Reason)
		}
		if report.Reason == inject.Injected {
			if sidecarOf(injected) == nil {
				t.Error("no sidecar")
			}
			if _, again := injectInto(injected, o); again.Reason != inject.AlreadyInjected {
				t.Errorf("the second call says %s", again.Reason)
			}
		} else if report.Message == "" {
			t.Errorf("%s without a message", report.Reason)
		}
		if pod.Annotations["inpod.dev/preset"] != before.Annotations["inpod.dev/preset"] || len(pod.Spec.Containers) != 1 || len(pod.Spec.Volumes) != 1 {
			t.Error("the given pod was changed")
		}
	})
}

func BenchmarkInject(b *testing.B) {
	pod, o := nginx()
	for b.Loop() {
		injectInto(pod, o)
	}
}
