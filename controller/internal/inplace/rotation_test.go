package inplace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
)

var vault = source.Ref{Kind: source.SecretProviderClass, Namespace: "shop", Name: "vault"}

// mounted is what the driver says of a pod.
func mounted(version string, rotated bool, at time.Time) *source.Mounted {
	return &source.Mounted{Versions: map[string]string{"password": version}, Rotated: rotated, Written: source.Moment{Time: at}}
}

// brings has the driver bring a version to a pod, whose sidecar sees the files change a moment before the driver says so.
func (p *patient) brings(version string) {
	p.seen = time.Now().Add(-2 * time.Second)
	p.pod.Mounts = []observe.Mount{{Ref: vault, Path: "/secrets", Mounted: mounted(version, true, time.Now().Truncate(time.Second))}}
}

// newVault is a ward of pods that have mounted the first version an hour ago; the second is wanted now.
func newVault(t *testing.T, n int) *ward {
	t.Helper()
	w := newWard(n)
	for _, p := range w.pods {
		p.seen = time.Now().Add(-time.Hour)
		p.pod.Mounts = []observe.Mount{{Ref: vault, Path: "/secrets", Mounted: mounted("1", false, p.seen)}}
	}
	return w
}

func (w *ward) rotates(t *testing.T) {
	t.Helper()
	w.lead(t)
	wanted := source.OfSecretProviderClass(vault, []source.Mounted{*mounted("2", true, time.Now())})
	causes := []decide.Cause{{Ref: vault, Diff: source.Diff{Changes: []source.Change{{Key: "password", Live: true}}}}}
	w.reloader.StartReload(web, "t1", []source.SourceState{{Usages: source.SourceUsages{Ref: vault}, Snapshot: wanted}}, causes, time.Now())
	synctest.Wait()
}

// The driver goes from pod to pod, slower than a pod may take to reload.
func TestARotationIsConfirmedPodByPod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newVault(t, 3)
		w.change(func() { w.pods["web-0"].brings("2") })
		w.rotates(t)
		after(deadline + time.Minute)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		w.change(func() { w.pods["web-1"].brings("2"); w.pods["web-1"].result = sidecarapi.Late })
		after(time.Minute)
		w.change(func() { w.pods["web-1"].result = sidecarapi.Applied })
		w.change(func() { w.pods["web-2"].brings("2") })
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		if len(w.nudges) > 0 {
			t.Errorf("nudges %v: no kubelet has anything to bring", w.nudges)
		}
	})
}

func TestHowAPodStandsToARotation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*patient)
		after  time.Duration
		want   decide.InPlace
	}{
		"it has reloaded": {func(p *patient) { p.brings("2") }, 5 * time.Second, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}},
		"it has started with what is wanted": {func(p *patient) {
			p.result = sidecarapi.None
			p.pod.Mounts[0].Mounted = mounted("2", false, p.seen)
		}, 5 * time.Second, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}},
		"it does not accept it": {func(p *patient) { p.brings("2"); p.result = sidecarapi.Rejected }, 5 * time.Second, decide.InPlace{
			Sidecar: true, Verdict: decide.Rejected, Pod: "web-0", Message: "said by web-0",
		}},
		"it needs a restart": {func(p *patient) { p.brings("2"); p.result = sidecarapi.NeedsRestart }, time.Minute, decide.InPlace{
			Sidecar: true, Verdict: decide.NeedsRestart, Pod: "web-0", Message: "said by web-0",
		}},
		"its sidecar has not seen it yet": {func(p *patient) { seen := p.seen; p.brings("2"); p.seen = seen }, 30 * time.Second, decide.InPlace{Sidecar: true}},
		"its sidecar sees no change, since another version has the same content": {func(p *patient) {
			seen := p.seen
			p.brings("2")
			p.seen = seen
		}, 70 * time.Second, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0"}},
		"its sidecar is of an earlier version, or does not watch it": {func(p *patient) { p.brings("2"); p.seen = time.Time{} }, 5 * time.Second, decide.InPlace{
			Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "its sidecar does not report when /secrets (SecretProviderClass vault) changed: " +
				"it has an earlier version, or does not watch it",
		}},
		"its sidecar started after it, and cannot know": {func(p *patient) {
			p.brings("2")
			p.result, p.assumed, p.pod.Started = sidecarapi.None, true, time.Now().Add(-time.Hour)
		}, deadline + 10*time.Second, decide.InPlace{
			Sidecar: true, Verdict: decide.Overdue, Pod: "web-0", Message: "its sidecar started after the change, and cannot know whether the application has it",
		}},
		"the driver has brought it something else": {func(p *patient) { p.brings("3") }, 9 * time.Minute, decide.InPlace{Sidecar: true}},
		"the driver has said nothing of it":        {func(p *patient) { p.pod.Mounts[0].Mounted = nil }, 9 * time.Minute, decide.InPlace{Sidecar: true}},
		"the driver never brings it": {func(*patient) {}, 11 * time.Minute, decide.InPlace{
			Sidecar: true, Verdict: decide.Confirmed, Pod: "web-1", Message: "1 pod could not be asked (its driver has not brought the new versions)",
		}},
		"another container has it, which the sidecar does not look after": {func(p *patient) { p.pod.Beyond = []source.Ref{vault} }, 5 * time.Second, decide.InPlace{
			Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "its sidecar does not watch SecretProviderClass vault, which a container mounts",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newVault(t, 2)
				c.change(w.pods["web-0"])
				w.pods["web-1"].brings("2")
				w.rotates(t)
				after(c.after)
				w.states(t, "t1", c.want)
			})
		})
	}
}
