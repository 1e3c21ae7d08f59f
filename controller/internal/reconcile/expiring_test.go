package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/objtest"
)

// certified mounts a certificate of the pod, with a subPath or as a whole.
func certified(subPath string, parts ...objtest.Part) []objtest.Part {
	volume := corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", CredentialBundlePath: "pod.pem"}},
	}}}
	return append([]objtest.Part{objtest.VolumeMount(volume, corev1.VolumeMount{SubPath: subPath})}, parts...)
}

// Nobody else would say it before the certificate has expired. Nothing is written on the workload for it: another installation
// that does not follow the workload would have to agree.
func TestACertificateThatIsNeverRenewedIsReportedOnce(t *testing.T) {
	t.Parallel()
	asks := objtest.Annotation("reloader.stakater.com/auto", "true")
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.Deployment("web", certified("pod.pem", asks)...), objtest.Deployment("whole", certified("", asks)...),
			objtest.Deployment("quiet", certified("pod.pem")...))
		stop := w.lead()
		time.Sleep(time.Minute)
		w.queue.Enqueue(deployment("web"), "WorkloadChanged")
		time.Sleep(time.Minute)
		want := []string{"Warning NeverRenewed web: Container app mounts volume volume-0 (podCertificate) with subPath at /mnt/0, " +
			"where the kubelet never renews it, so its content expires. Mount the volume as a whole, without subPath"}
		if diff := cmp.Diff(want, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if n := len(w.done()); n != 0 {
			t.Errorf("%d rollouts and records, want none", n)
		}

		w.apply(objtest.Deployment("web", certified("", asks)...))
		time.Sleep(time.Minute)
		w.apply(objtest.Deployment("web", certified("pod.pem", asks)...))
		time.Sleep(time.Minute)
		stop()
		if n := len(w.reported()); n != 2 {
			t.Errorf("%d events, want another one for a mistake that was recreated", n)
		}
	})
}
