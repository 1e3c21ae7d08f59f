package workload_test

import (
	"testing"
	"time"

	"inpod.dev/inpod/internal/workload"
)

// A fingerprint differs exactly where Same finds a difference.
func TestFingerprintIsWhatSameCompares(t *testing.T) {
	t.Parallel()
	base := func() workload.View {
		return workload.View{
			UID: "a", Annotations: map[string]string{"a": "1", "b": "2"}, Cron: &workload.Cron{}, Job: &workload.Job{}, Version: 7,
		}
	}
	for name, change := range map[string]func(*workload.View){
		"nothing":         func(*workload.View) {},
		"version":         func(v *workload.View) { v.Version++ },
		"UID":             func(v *workload.View) { v.UID = "b" },
		"template owner":  func(v *workload.View) { v.TemplateOwner.Name = "x" },
		"restart":         func(v *workload.View) { v.Restart = true },
		"deleting":        func(v *workload.View) { v.Deleting = true },
		"paused":          func(v *workload.View) { v.Paused = true },
		"rolling":         func(v *workload.View) { v.Rolling = true },
		"refused":         func(v *workload.View) { v.Refused = time.Unix(5, 0) },
		"template":        func(v *workload.View) { v.Template[3] = 1 },
		"progress":        func(v *workload.View) { v.Progress = workload.Complete },
		"on delete":       func(v *workload.View) { v.OnDelete = true },
		"max unavailable": func(v *workload.View) { v.MaxUnavailable = 2 },
		"scaled to zero":  func(v *workload.View) { v.ScaledToZero = true },
		"restored by":     func(v *workload.View) { v.RestoredBy = "kubectl" },
		"annotation":      func(v *workload.View) { v.Annotations["a"] = "2" },
		"more annotation": func(v *workload.View) { v.Annotations["c"] = "" },
		"no cron":         func(v *workload.View) { v.Cron = nil },
		"suspended":       func(v *workload.View) { v.Cron.Suspended = true },
		"policy":          func(v *workload.View) { v.Cron.Policy = "Forbid" },
		"active":          func(v *workload.View) { v.Cron.Active = []string{"x"} },
		"no job":          func(v *workload.View) { v.Job = nil },
		"finished":        func(v *workload.View) { v.Job.Finished = true },
		"ended":           func(v *workload.View) { v.Job.EndedAt = time.Unix(5, 0) },
		"owned":           func(v *workload.View) { v.Job.Owned = true },
		"job suspended":   func(v *workload.View) { v.Job.Suspended = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := base()
			change(&v)
			if same, equal := v.Same(base()), v.Fingerprint() == base().Fingerprint(); same != equal {
				t.Errorf("same %t, equal fingerprints %t", same, equal)
			}
		})
	}
}
