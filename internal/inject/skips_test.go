package inject_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/inject"
)

// change makes something else of a pod or of the options.
type change func(*corev1.Pod, *inject.Options)

// nginx is a pod that gets the sidecar, then changed.
func nginx(changes ...change) (*corev1.Pod, inject.Options) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			"inpod.dev/inject": "enabled", "inpod.dev/preset": "nginx",
		}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "web", Image: "nginx", VolumeMounts: []corev1.VolumeMount{{Name: "conf", MountPath: "/etc/nginx/conf.d"}},
			}},
			Volumes: []corev1.Volume{{Name: "conf", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}},
			}}},
		},
	}
	o := options()
	for _, c := range changes {
		c(pod, &o)
	}
	return pod, o
}

func annotated(keysAndValues ...string) change {
	return func(pod *corev1.Pod, _ *inject.Options) {
		for i := 0; i < len(keysAndValues); i += 2 {
			pod.Annotations[keysAndValues[i]] = keysAndValues[i+1]
		}
	}
}

func without(key string) change {
	return func(pod *corev1.Pod, _ *inject.Options) { delete(pod.Annotations, key) }
}

func spec(c func(*corev1.PodSpec)) change {
	return func(pod *corev1.Pod, _ *inject.Options) { c(&pod.Spec) }
}

func web(c func(*corev1.Container)) change {
	return func(pod *corev1.Pod, _ *inject.Options) { c(&pod.Spec.Containers[0]) }
}

func given(c func(*inject.Options)) change {
	return func(_ *corev1.Pod, o *inject.Options) { c(o) }
}

func another(container corev1.Container) change {
	return spec(func(s *corev1.PodSpec) {
		container.VolumeMounts = s.Containers[0].VolumeMounts
		s.Containers = append(s.Containers, container)
	})
}

// mounting replaces the ConfigMap by a projected volume.
func mounting(sources ...corev1.VolumeProjection) change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
	})
}

func certificate() corev1.VolumeProjection {
	return corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", KeyType: "ED25519", CredentialBundlePath: "pod.pem"}}
}

func bundle(name string) corev1.VolumeProjection {
	return corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: &name, Path: "ca.crt"}}
}

func token(audience string) corev1.VolumeProjection {
	return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: audience}}
}

// csi replaces the ConfigMap by a volume of a driver.
func csi(driver string) change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes[0].VolumeSource = corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: driver, ReadOnly: new(true)}}
	})
}

// ofPod replaces the ConfigMap by a field of the pod.
func ofPod(field string) change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes[0].VolumeSource = corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "file", FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}},
		}}}
	})
}

// accountToken mounts the token as the API server does.
func accountToken() change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{token("")},
		}}})
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{
			Name: "kube-api-access-x", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true,
		})
	})
}

const (
	url   = "inpod.dev/reload-url"
	watch = "inpod.dev/watch"
)

func TestEveryReason(t *testing.T) {
	t.Parallel()
	byURL := func(s *corev1.Pod, o *inject.Options) { annotated(url, "http://127.0.0.1/reload")(s, o) }
	root := spec(func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(true)}
	})
	subPath := web(func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "default.conf" })
	classic := annotated("inpod.dev/native-sidecar", "false")
	seen := map[inject.Reason]bool{}
	for name, tc := range map[string]struct {
		changes []change
		want    inject.Reason
		texts   []string // all of them in the message
	}{
		"a pod as it should be": {want: inject.Injected},
		"nobody asks":           {changes: []change{without("inpod.dev/inject")}, want: inject.NotRequested},
		"the pod opts out of what its namespace asks": {
			changes: []change{annotated("inpod.dev/inject", "disabled"), given(func(o *inject.Options) { o.NamespaceAsks = true })}, want: inject.NotRequested,
		},
		"the namespace asks": {
			changes: []change{without("inpod.dev/inject"), given(func(o *inject.Options) { o.NamespaceAsks = true })}, want: inject.Injected,
		},
		"a sidecar written by hand": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: "inpod"}} })}, want: inject.AlreadyInjected,
		},
		"a bad value": {changes: []change{annotated("inpod.dev/settle", "soon")}, want: inject.InvalidAnnotation, texts: []string{"inpod.dev/settle", `"soon"`}},
		"two bad values": {
			changes: []change{annotated("inpod.dev/settle", "soon", "inpod.dev/status-port", "0")},
			want:    inject.InvalidAnnotation, texts: []string{"inpod.dev/settle", "; ", "inpod.dev/status-port"},
		},
		"an unknown preset": {changes: []change{annotated("inpod.dev/preset", "nginks")}, want: inject.InvalidAnnotation, texts: []string{`"nginks"`, "haproxy"}},
		"a mirror pod":      {changes: []change{annotated(corev1.MirrorPodAnnotationKey, "x")}, want: inject.MirrorPod},
		"Windows by its own word": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} })}, want: inject.WindowsPod,
		},
		"Windows by its nodes": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} })}, want: inject.WindowsPod,
		},
		"no source at all": {
			changes: []change{web(func(c *corev1.Container) { c.VolumeMounts = nil })}, want: inject.NothingUsed,
		},
		"nothing but the token of the service account": {
			changes: []change{web(func(c *corev1.Container) {
				c.VolumeMounts[0].MountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
			})},
			want: inject.NothingUsed,
		},
		"nothing but a certificate of the pod":  {changes: []change{mounting(certificate())}, want: inject.Injected},
		"nothing but a bundle of trust anchors": {changes: []change{mounting(bundle("roots"))}, want: inject.Injected},
		"nothing but a token and the bundle of the API server": {
			changes: []change{mounting(token(""), bundle("kubernetes.io:kube-apiserver-serving:live"))}, want: inject.NothingUsed,
		},
		"a token, and a bundle of its user":     {changes: []change{mounting(token(""), bundle("roots"))}, want: inject.Injected},
		"a CSI volume that nobody names":        {changes: []change{csi("csi.spiffe.io")}, want: inject.NothingUsed, texts: []string{"inpod.dev/watch"}},
		"a CSI volume that is named":            {changes: []change{csi("csi.spiffe.io"), annotated(watch, "/etc/nginx/conf.d")}, want: inject.Injected},
		"a file of a CSI volume that is named":  {changes: []change{csi("csi.spiffe.io"), annotated(watch, "/etc/nginx/conf.d/tls/svid.pem")}, want: inject.Injected},
		"a relative path to watch":              {changes: []change{annotated(watch, "conf.d")}, want: inject.InvalidAnnotation, texts: []string{watch, `"conf.d"`, "whole paths"}},
		"the root to watch":                     {changes: []change{annotated(watch, "/")}, want: inject.InvalidAnnotation, texts: []string{watch, `"/"`}},
		"a path to watch that leads outwards":   {changes: []change{annotated(watch, "/etc/nginx/conf.d/../../passwd")}, want: inject.InvalidAnnotation, texts: []string{watch}},
		"a path to watch twice":                 {changes: []change{annotated(watch, "/etc/nginx/conf.d, /etc/nginx/conf.d/")}, want: inject.InvalidAnnotation, texts: []string{watch, "twice"}},
		"a list to watch with a hole":           {changes: []change{annotated(watch, "/etc/nginx/conf.d,,/x")}, want: inject.InvalidAnnotation, texts: []string{watch, `""`}},
		"a path to watch that nobody mounts":    {changes: []change{annotated(watch, "/etc/tls")}, want: inject.PathNotMounted, texts: []string{watch, "/etc/tls", "container web"}},
		"a path to watch beside a mount":        {changes: []change{annotated(watch, "/etc/nginx/conf.d2")}, want: inject.PathNotMounted, texts: []string{watch}},
		"a path to watch in a pod with nothing": {changes: []change{csi("x"), annotated(watch, "/etc/tls")}, want: inject.PathNotMounted, texts: []string{watch, "/etc/tls"}},
		"a path to watch that another container mounts": {
			changes: []change{another(corev1.Container{Name: "other"}), web(func(c *corev1.Container) { c.VolumeMounts = nil }), annotated(watch, "/etc/nginx/conf.d", "inpod.dev/reload-container", "web")},
			want:    inject.PathNotMounted, texts: []string{watch, "container web"},
		},
		"the token to watch": {
			changes: []change{accountToken(), annotated(watch, "/var/run/secrets/kubernetes.io/serviceaccount/token")},
			want:    inject.NotWatchable, texts: []string{watch, "token for the API server", "never"},
		},
		"the volume of the token to watch, at another path": {
			changes: []change{mounting(token("")), annotated(watch, "/etc/nginx/conf.d")}, want: inject.NotWatchable, texts: []string{"token for the API server"},
		},
		"a token for somebody else to watch": {
			changes: []change{mounting(token("vault")), annotated(watch, "/etc/nginx/conf.d")}, want: inject.NotWatchable, texts: []string{"nothing but a token"},
		},
		"a token in a mixed volume to watch": {
			changes: []change{mounting(token("vault"), certificate()), annotated(watch, "/etc/nginx/conf.d/token")}, want: inject.NotWatchable, texts: []string{"nothing but a token"},
		},
		"a mixed volume with a token to watch": {
			changes: []change{mounting(token("vault"), certificate()), annotated(watch, "/etc/nginx/conf.d")}, want: inject.Injected,
		},
		"all annotations of the pod to watch": {
			changes: []change{ofPod("metadata.annotations"), annotated(watch, "/etc/nginx/conf.d/file")}, want: inject.NotWatchable, texts: []string{"annotations of the pod"},
		},
		"the labels of the pod to watch": {changes: []change{ofPod("metadata.labels"), annotated(watch, "/etc/nginx/conf.d/file")}, want: inject.Injected},
		"a path to watch by subPath": {
			changes: []change{subPath, annotated(watch, "/etc/nginx/conf.d")}, want: inject.NotWatchable, texts: []string{watch, "subPath", "as a whole"},
		},
		"a path to watch by subPath of a volume that is written in place": {
			changes: []change{subPath, spec(func(s *corev1.PodSpec) {
				s.Volumes[0].VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}
			}), annotated(watch, "/etc/nginx/conf.d")}, want: inject.Injected,
		},
		"a path to watch by a subPath that only the application knows": {
			changes: []change{web(func(c *corev1.Container) { c.VolumeMounts[0].SubPathExpr = "$(POD)" }), annotated(watch, "/etc/nginx/conf.d")},
			want:    inject.NotWatchable, texts: []string{"subPathExpr"},
		},
		"a certificate of the pod by subPath": {
			changes: []change{mounting(certificate()), web(func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "pod.pem" })},
			want:    inject.OnlyFrozenUsages, texts: []string{"container web", "volume conf (podCertificate)", "/etc/nginx/conf.d", "as a whole"},
		},
		"only a subPath": {changes: []change{subPath}, want: inject.OnlyFrozenUsages, texts: []string{"starts a rollout"}},
		"only an init container": {
			changes: []change{spec(func(s *corev1.PodSpec) {
				s.InitContainers = []corev1.Container{{Name: "init", VolumeMounts: s.Containers[0].VolumeMounts}}
				s.Containers[0].VolumeMounts = nil
			})}, want: inject.OnlyFrozenUsages,
		},
		"a container that mounts nothing live is named": {
			changes: []change{another(corev1.Container{Name: "other"}), subPath, annotated("inpod.dev/reload-container", "web")},
			want:    inject.OnlyFrozenUsages, texts: []string{"container web"},
		},
		"a container that does not exist": {
			changes: []change{annotated("inpod.dev/reload-container", "wbe")}, want: inject.NoSuchContainer, texts: []string{`"wbe"`, "web"},
		},
		"a sidecar of the application, which keeps running": {
			changes: []change{
				spec(func(s *corev1.PodSpec) {
					s.InitContainers = []corev1.Container{{
						Name: "proxy", RestartPolicy: new(corev1.ContainerRestartPolicyAlways), VolumeMounts: s.Containers[0].VolumeMounts,
					}}
					s.Containers[0].VolumeMounts = nil
				}),
			}, want: inject.Injected,
		},
		"a container that ends": {
			changes: []change{
				spec(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: "init"}} }), annotated("inpod.dev/reload-container", "init"),
			}, want: inject.NoSuchContainer,
		},
		"two containers": {
			changes: []change{another(corev1.Container{Name: "other"})}, want: inject.AmbiguousContainer, texts: []string{"web and other", "reload-container"},
		},
		"two containers, one of which is the default": {
			changes: []change{another(corev1.Container{Name: "other"}), annotated("kubectl.kubernetes.io/default-container", "web")}, want: inject.Injected,
		},
		"two containers, one of which is named": {
			changes: []change{another(corev1.Container{Name: "other"}), annotated("inpod.dev/reload-container", "other")}, want: inject.Injected,
		},
		"no trigger":               {changes: []change{without("inpod.dev/preset")}, want: inject.NoTrigger, texts: []string{"inpod.dev/preset", "inpod.dev/reload-command"}},
		"a server without reloads": {changes: []change{annotated("inpod.dev/preset", "redis")}, want: inject.PresetRefused, texts: []string{"redis", "rolled"}},
		"the processes of the node": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.HostPID = true })}, want: inject.HostProcesses, texts: []string{"hostPID", url},
		},
		"the processes of the node, by URL": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.HostPID = true }), without("inpod.dev/preset"), byURL}, want: inject.Injected,
		},
		"processes that must not be shared": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(false) })},
			want:    inject.ProcessesNotShared, texts: []string{"shareProcessNamespace: false"},
		},
		"processes that must not be shared, by URL": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(false) }), without("inpod.dev/preset"), byURL}, want: inject.Injected,
		},
		"a root that must not be": {changes: []change{root}, want: inject.RootForbidden, texts: []string{"runAsNonRoot"}},
		"a root by annotation that must not be": {
			changes: []change{
				annotated("inpod.dev/sidecar-run-as-user", "0"),
				web(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: new(true)} }),
			}, want: inject.RootForbidden,
		},
		"the application's image is needed and refused": {
			changes: []change{annotated("inpod.dev/application-image", "false")},
			want:    inject.ApplicationImageRefused, texts: []string{"a signal needs the same", "sidecar-run-as-user"},
		},
		"a native sidecar that the cluster does not have": {
			changes: []change{annotated("inpod.dev/native-sidecar", "true"), given(func(o *inject.Options) { o.NativeSidecars, o.Server = false, "v1.28.3" })},
			want:    inject.NativeUnsupported, texts: []string{"v1.28.3", "1.29"},
		},
		"an ordinary container in a Job": {
			changes: []change{classic, spec(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyOnFailure })},
			want:    inject.WouldBlockCompletion, texts: []string{"OnFailure"},
		},
		"an old cluster, in a Job": {
			changes: []change{
				given(func(o *inject.Options) { o.NativeSidecars = false }), spec(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyNever }),
			}, want: inject.WouldBlockCompletion,
		},
		"an ordinary container elsewhere": {
			changes: []change{classic, spec(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyAlways })}, want: inject.Injected,
		},
		"the network of the node": {
			changes: []change{spec(func(s *corev1.PodSpec) { s.HostNetwork = true })}, want: inject.HostNetwork, texts: []string{"status-port"},
		},
		"the port is taken": {
			changes: []change{web(func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 27467}} })},
			want:    inject.PortTaken, texts: []string{"27467", "web", "status-port"},
		},
		"the port is taken for another protocol": {
			changes: []change{web(func(c *corev1.Container) {
				c.Ports = []corev1.ContainerPort{{ContainerPort: 27467, Protocol: corev1.ProtocolUDP}}
			})},
			want: inject.Injected,
		},
		"a file that is nowhere": {
			changes: []change{without("inpod.dev/preset"), byURL, annotated("inpod.dev/reload-body-from", "/data/body")},
			want:    inject.PathNotMounted, texts: []string{"inpod.dev/reload-body-from", "/data/body", "web"},
		},
		"a file beside a mount of the same beginning": {
			changes: []change{without("inpod.dev/preset"), byURL, annotated("inpod.dev/reload-body-from", "/etc/nginx/conf.d.old/body")},
			want:    inject.PathNotMounted,
		},
		"a mount inside a claim that the sidecar only reads": {
			changes: []change{annotated("inpod.dev/validate-command", `["nginx","-t"]`), around(claim(), false)},
			want:    inject.NestedMount, texts: []string{"/etc/nginx/conf.d", "volume outer", "container web"},
		},
		"a file that may be in the image": {
			changes: []change{annotated("inpod.dev/validate-command", `["nginx","-t"]`, "inpod.dev/reload-ca-file", "/etc/ssl/ca")}, want: inject.Injected,
		},
		"a header from the token for the API server": {
			changes: append(byRequest(), apiAccess(), annotated("inpod.dev/reload-header-from", "Authorization=/var/run/secrets/kubernetes.io/serviceaccount/token")),
			want:    inject.PathNotMounted, texts: []string{"inpod.dev/reload-header-from", "token for the API server", "kube-root-ca.crt"},
		},
		"the authority beside the token for the API server": {
			changes: append(byRequest(), apiAccess(), annotated("inpod.dev/reload-ca-file", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")),
			want:    inject.PathNotMounted, texts: []string{"inpod.dev/reload-ca-file"},
		},
		"a socket that is in the image of nobody": {
			changes: []change{annotated("inpod.dev/validate-command", `["nginx","-t"]`, "inpod.dev/verify-url", "unix:/run/x.sock:/")}, want: inject.PathNotMounted,
		},
		"a signal that only the namespace asks for": {
			changes: byNamespace(), want: inject.NeedsSharedProcesses, texts: []string{"shareProcessNamespace", "inpod.dev/share-processes", "inpod.dev/inject", url},
		},
		"a signal that only the namespace asks for, which says that processes may be shared": {
			changes: append(byNamespace(), given(func(o *inject.Options) { o.Defaults["inpod.dev/share-processes"] = "true" })), want: inject.Injected,
		},
		"a signal that only the namespace asks for, and the pod says that processes may be shared": {
			changes: append(byNamespace(), annotated("inpod.dev/share-processes", "true")), want: inject.Injected,
		},
		"a signal that only the namespace asks for, of a pod that shares already": {
			changes: append(byNamespace(), spec(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(true) })), want: inject.Injected,
		},
		"a signal of the namespace, for a pod that asks": {
			changes: append(byNamespace(), annotated("inpod.dev/inject", "enabled")), want: inject.Injected,
		},
		"a URL that only the namespace asks for": {
			changes: append(byNamespace(), given(func(o *inject.Options) { o.Defaults = map[string]string{url: "http://127.0.0.1/"} })), want: inject.Injected,
		},
		"processes that the pod does not offer": {
			changes: []change{annotated("inpod.dev/share-processes", "false")}, want: inject.ProcessesNotShared, texts: []string{"inpod.dev/share-processes", url},
		},
		"a validator of root without capabilities": {
			changes: []change{annotated("inpod.dev/preset", "apache2", "inpod.dev/sidecar-capabilities", "none")},
			want:    inject.CapabilitiesRefused, texts: []string{"inpod.dev/sidecar-capabilities", "CHOWN", "runAsUser of container web", "inpod.dev/reload-signal"},
		},
		"a validator of another user without capabilities": {
			changes: []change{
				annotated("inpod.dev/preset", "apache2", "inpod.dev/sidecar-capabilities", "none"),
				web(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(33))} }),
			}, want: inject.Injected,
		},
		"a signal of root without capabilities": {
			changes: []change{given(func(o *inject.Options) { o.Capabilities = annotation.NoCapabilities })}, want: inject.Injected,
		},
		"no room in the quota": {
			changes: []change{allows(inject.Limits{Quotas: []inject.Quota{quota("500m", "485m", "limits.cpu")}})},
			want:    inject.QuotaExceeded, texts: []string{"ResourceQuota team has 15m of limits.cpu left", "200m", "inpod.dev/sidecar-cpu-limit"},
		},
		"a LimitRange that what was asked for does not keep": {
			changes: []change{
				annotated("inpod.dev/sidecar-cpu-limit", "2"),
				allows(inject.Limits{Ranges: []inject.Range{{Name: "team", LimitRangeItem: corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: cpu("1")}}}}),
			},
			want: inject.LimitRangeForbids, texts: []string{"LimitRange team", "at most 1", "inpod.dev/sidecar-cpu-limit"},
		},
		"an environment that is larger than what is added": {
			changes: []change{inEnvironment(corev1.EnvVar{Name: "A", Value: strings.Repeat("x", 70<<10)})},
			want:    inject.TooLarge, texts: []string{"container web", "at most 65536", "inpod.dev/reload-url"},
		},
		"the API server refuses it": {
			changes: []change{given(func(o *inject.Options) { o.Refused = "ReplicaSet web-1: no capabilities here" })},
			want:    inject.RefusedBefore, texts: []string{"no capabilities here", "inpod.dev/sidecar-capabilities", "inpod.dev/inject: disabled"},
		},
	} {
		seen[tc.want] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.changes...)
			before := pod.DeepCopy()
			after, report := injectInto(pod, o)
			if report.Reason != tc.want {
				t.Fatalf("%s: %s; want %s", report.Reason, report.Message, tc.want)
			}
			for _, text := range tc.texts {
				if !strings.Contains(report.Message, text) {
					t.Errorf("the message %q does not say %q", report.Message, text)
				}
			}
			if tc.want != inject.Injected {
				checkSkipped(t, before, after, report)
			}
		})
	}
	seen[inject.InternalError] = true // TestAChangeThatBreaksARuleIsLeftOut
	for _, reason := range inject.Reasons() {
		if !seen[reason] {
			t.Errorf("no case ends with %s", reason)
		}
	}
}

// byNamespace makes nginx a pod that says nothing, in a namespace that asks and has a preset.
func byNamespace() []change {
	return []change{without("inpod.dev/inject"), without("inpod.dev/preset"), given(func(o *inject.Options) {
		o.NamespaceAsks, o.Defaults = true, map[string]string{"inpod.dev/preset": "nginx"}
	})}
}

// byRequest makes nginx a server that is reloaded by a request.
// around mounts a volume around that of the configuration.
func around(source corev1.VolumeSource, isReadOnly bool) change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "outer", VolumeSource: source})
		c := &s.Containers[0]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "outer", MountPath: "/etc/nginx", ReadOnly: isReadOnly})
	})
}

func claim() corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}
}

func byRequest() []change {
	return []change{without("inpod.dev/preset"), annotated("inpod.dev/reload-url", "http://127.0.0.1:8080/-/reload")}
}

// apiAccess mounts the token as the API server does (plugin/pkg/admission/serviceaccount), with what it is given.
func apiAccess() change {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{}},
			}},
		}})
		for i := range s.Containers {
			s.Containers[i].VolumeMounts = append(s.Containers[i].VolumeMounts, corev1.VolumeMount{
				Name: "kube-api-access-x", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true,
			})
		}
	})
}

// checkSkipped holds that a pod without sidecar is as it was, but for the record and the label where somebody asked.
func checkSkipped(t *testing.T, before, after *corev1.Pod, report inject.Report) {
	t.Helper()
	if report.Message == "" {
		t.Error("there is no message")
	}
	recorded := after.Annotations[annotation.InjectionRecord] != ""
	if report.ByPod && !report.Reason.Quiet() && !recorded {
		t.Error("there is no record")
	}
	if recorded {
		record, err := annotation.ParseRecord(after.Annotations[annotation.InjectionRecord])
		if err != nil || record.Injected || record.Reason != string(report.Reason) || record.Message != report.Message {
			t.Errorf("the record is %+v, %v; want reason and message of the report", record, err)
		}
		if after.Labels[annotation.InjectedLabel] != "false" {
			t.Errorf("labels %v", after.Labels)
		}
		after = after.DeepCopy()
		delete(after.Annotations, annotation.InjectionRecord)
		delete(after.Labels, annotation.InjectedLabel)
		if before.Labels == nil {
			after.Labels = nil
		}
	}
	if !equality.Semantic.DeepEqual(before, after) {
		t.Errorf("the pod was changed: %+v", after)
	}
}

// A namespace that asks for all of its pods is answered where something is wrong, and not about pods with nothing to reload.
func TestWhatIsRecordedWhereANamespaceAsks(t *testing.T) {
	t.Parallel()
	asks := given(func(o *inject.Options) { o.NamespaceAsks = true })
	nobodyElse := without("inpod.dev/inject")
	for name, tc := range map[string]struct {
		changes    []change
		wantReason inject.Reason
		want       bool
	}{
		"a mistake is recorded":                   {[]change{nobodyElse, asks, without("inpod.dev/preset")}, inject.NoTrigger, true},
		"a pod that is always rolled is recorded": {[]change{nobodyElse, asks, web(func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "default.conf" })}, inject.OnlyFrozenUsages, true},
		"a pod with nothing to reload is left as it is": {
			[]change{nobodyElse, asks, spec(func(s *corev1.PodSpec) { s.Volumes, s.Containers[0].VolumeMounts = nil, nil })}, inject.NothingUsed, false,
		},
		"a pod that opts out is left as it is":  {[]change{annotated("inpod.dev/inject", "disabled"), asks}, inject.NotRequested, false},
		"a pod of another namespace is left so": {[]change{nobodyElse}, inject.NotRequested, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.changes...)
			change, report := inject.Inject(pod, o)
			_, hasRecord := change.Annotations[annotation.InjectionRecord]
			if report.Reason != tc.wantReason || hasRecord != tc.want || (change.Labels[annotation.InjectedLabel] == "false") != tc.want {
				t.Errorf("%s: %s; the change is %+v", report.Reason, report.Message, change)
			}
		})
	}
}

// What a pod says of itself may be long, and the record repeats it. Kubernetes refuses a pod with too many bytes of annotations.
func TestARecordNeverGrowsAPodTooLarge(t *testing.T) {
	t.Parallel()
	pod, o := nginx(annotated("inpod.dev/preset", strings.Repeat("ä", 100_000)))
	added, report := inject.Inject(pod, o)
	record, err := annotation.ParseRecord(added.Annotations[annotation.InjectionRecord])
	if err != nil || report.Reason != inject.InvalidAnnotation || len(record.Message) > 1000 || !strings.HasSuffix(record.Message, "…") || !utf8.ValidString(record.Message) {
		t.Errorf("%s, %v: %d bytes", report.Reason, err, len(record.Message))
	}
	for name, c := range map[string]change{"a mistake": without("inpod.dev/preset"), "an injection": func(*corev1.Pod, *inject.Options) {}} {
		pod, o := nginx(c, annotated("example.com/full", ""))
		room := 256<<10 - 10
		for key, value := range pod.Annotations {
			room -= len(key) + len(value)
		}
		pod.Annotations["example.com/full"] = strings.Repeat("x", room)
		if change, report := inject.Inject(pod, o); !change.IsZero() {
			t.Errorf("%s: %s adds %+v", name, report.Reason, change)
		}
	}
}
