package decide_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// bySubPath mounts one path of a volume with a certificate of the pod and a bundle.
func bySubPath(subPath string) obj.Part {
	return obj.VolumeMount(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", CredentialBundlePath: "pod.pem"}},
		{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: new("roots"), Path: "ca.crt"}},
	}}}, corev1.VolumeMount{SubPath: subPath})
}

func TestWhatExpires(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		parts   []obj.Part
		options decide.Options
		want    string // part of the only sentence, "" for none
	}{
		"a certificate by subPath":                   {parts: following(bySubPath("pod.pem")), want: "Container app mounts volume volume-0 (podCertificate) with subPath at /mnt/0"},
		"a bundle by subPath that nobody follows":    {parts: following(bySubPath("ca.crt")), options: decide.Options{Ignored: []source.Kind{source.ClusterTrustBundle}}, want: "(clusterTrustBundle)"},
		"no word about a bundle that is rolled":      {parts: following(bySubPath("ca.crt"))},
		"a workload that asks for the sidecar":       {parts: []obj.Part{obj.TemplateAnnotation(inject, "enabled"), bySubPath("pod.pem")}, want: "expires"},
		"a workload that the controller follows":     {parts: []obj.Part{bySubPath("pod.pem")}, options: decide.Options{AutoAll: true}, want: "expires"},
		"no word to a workload that asks nothing":    {parts: []obj.Part{bySubPath("pod.pem")}},
		"no word to a workload that opted out":       {parts: following(obj.Annotation(ignore, "true"), bySubPath("pod.pem")), options: decide.Options{AutoAll: true}},
		"no word about a volume that is whole":       {parts: following(bySubPath(""))},
		"no word about a ConfigMap, which is rolled": {parts: following(obj.SubPath(obj.CM("app"), "app.conf"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakeCluster(t, tc.parts, obj.ConfigMap("app", "app.conf", "1"))
			w.input.Options = tc.options
			got := strings.Join(w.decide().Expiring, "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) || strings.Contains(got, "\n") {
				t.Errorf("expiring: %q, want one that contains %q", got, tc.want)
			}
		})
	}
}
