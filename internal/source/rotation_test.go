package source_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// rotated is a projected volume with a certificate of the pod at tls/pod.pem and a bundle at ca.crt.
func rotated() corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}},
		{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", CredentialBundlePath: "tls/pod.pem"}},
		{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: new("roots"), Path: "ca.crt"}},
	}}}
}

func TestRotations(t *testing.T) {
	t.Parallel()
	certificate := source.Rotation{Kind: source.PodCertificate, Volume: "volume-0", Container: "app", Path: "/mnt/0"}
	bundle := source.Rotation{Kind: source.TrustBundle, Ref: source.Ref{Kind: source.ClusterTrustBundle, Name: "roots"}, Volume: "volume-0", Container: "app", Path: "/mnt/0"}
	frozen := func(r source.Rotation) source.Rotation { r.Frozen = true; return r }
	of := func(r source.Rotation, container string) source.Rotation { r.Container = container; return r }
	mount := func(m corev1.VolumeMount) obj.Part { return obj.VolumeMount(rotated(), m) }
	for name, tc := range map[string]struct {
		parts []obj.Part
		want  []source.Rotation
	}{
		"a volume without them has none":                {parts: []obj.Part{obj.Projected(obj.CM("app"), obj.Sec("tls"))}},
		"a volume that nobody mounts has none":          {parts: []obj.Part{obj.Mount(obj.CM("app"))}},
		"a whole volume shows both":                     {parts: []obj.Part{mount(corev1.VolumeMount{})}, want: []source.Rotation{certificate, bundle}},
		"a subPath freezes what lies there":             {parts: []obj.Part{mount(corev1.VolumeMount{SubPath: "tls"})}, want: []source.Rotation{frozen(certificate)}},
		"a subPath of the file itself":                  {parts: []obj.Part{mount(corev1.VolumeMount{SubPath: "ca.crt"})}, want: []source.Rotation{frozen(bundle)}},
		"a subPath of something else shows neither":     {parts: []obj.Part{mount(corev1.VolumeMount{SubPath: "app.conf"})}},
		"a subPath that only a pod knows may show both": {parts: []obj.Part{mount(corev1.VolumeMount{SubPathExpr: "$(POD)"})}, want: []source.Rotation{frozen(certificate), frozen(bundle)}},
		"an init container that ends sees none renewed": {parts: []obj.Part{obj.Init("init"), mount(corev1.VolumeMount{SubPath: "tls"})}},
		"an init container that runs on counts": {
			parts: []obj.Part{obj.Sidecar("proxy"), mount(corev1.VolumeMount{SubPath: "tls"})}, want: []source.Rotation{of(frozen(certificate), "proxy")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, source.Rotations(obj.Spec(tc.parts...))); diff != "" {
				t.Errorf("rotations (-want +got):\n%s", diff)
			}
		})
	}
}
