// Package plan decides what make stress does to a cluster: which workloads there are, what is changed in which order, and
// what is broken meanwhile. It also counts the settled changes.
//
// It is pure: the same seed gives the same plan, and nothing here knows a cluster or a clock.
//
//	seed, duration ──► New ──► Plan: workloads, bursts of changes, faults, each with its time
//	changes as they were applied ──► Settled: how many rollouts they may lead to
package plan

import "fmt"

// Kind is the Kubernetes kind of a workload.
type Kind string

// The kinds. A kind that is added here needs an object in the stage as well.
const (
	Deployment       Kind = "Deployment"
	StatefulSet      Kind = "StatefulSet"
	DaemonSet        Kind = "DaemonSet"
	CronJob          Kind = "CronJob"
	Job              Kind = "Job"
	Rollout          Kind = "Rollout"
	DeploymentConfig Kind = "DeploymentConfig"
	CloneSet         Kind = "CloneSet" // stands for any kind that is named in the configuration
)

// Kinds lists every kind, in the order of the table.
func Kinds() []Kind {
	return []Kind{Deployment, StatefulSet, DaemonSet, CronJob, Job, Rollout, DeploymentConfig, CloneSet}
}

// Form is how the pods of a workload use its ConfigMap.
type Form string

// The forms. All but InPlace use their Secret through envFrom besides.
const (
	Env       Form = "env"
	EnvFrom   Form = "envFrom"
	Volume    Form = "volume"
	SubPath   Form = "subPath"
	Projected Form = "projected"
	Init      Form = "init"
	InPlace   Form = "in place" // nginx with the sidecar
)

// Source names a ConfigMap or a Secret.
type Source struct{ Kind, Name string }

// Workload is one workload and what it uses.
type Workload struct {
	Kind Kind
	Name string
	Form Form
	// Runs reports whether its pods run; those of the others are on a node without a kubelet.
	Runs bool
	// Shared reports whether it also uses the ConfigMap that several share, through envFrom.
	Shared bool
}

// ConfigMap and Secret are the workload's own sources.
func (w Workload) ConfigMap() Source { return Source{"ConfigMap", w.Name} }

// Secret is the other one.
func (w Workload) Secret() Source { return Source{"Secret", w.Name} }

// Shared is the ConfigMap that several workloads use.
func Shared() Source { return Source{"ConfigMap", "shared"} }

// Sources are what the workload uses.
func (w Workload) Sources() []Source {
	sources := []Source{w.ConfigMap()}
	if w.Form != InPlace {
		sources = append(sources, w.Secret())
	}
	if w.Shared {
		sources = append(sources, Shared())
	}
	return sources
}

// Key is the key of its own ConfigMap that always exists.
func (w Workload) Key() string {
	if w.Form == InPlace {
		return "default.conf"
	}
	return "value"
}

// Uses reports whether a key of a source reaches the pods.
func (w Workload) Uses(s Source, key string) bool {
	switch s {
	case w.Secret():
		return w.Form != InPlace
	case Shared():
		return w.Shared
	case w.ConfigMap():
		return key == w.Key() || w.Form == EnvFrom || w.Form == Volume || w.Form == InPlace
	}
	return false
}

// fleet is the 40 workloads.
func fleet() []Workload {
	var all []Workload
	add := func(kind Kind, count, running int, forms ...Form) {
		for i := range count {
			form := forms[i%len(forms)]
			name := fmt.Sprintf("%s-%d", short(kind), i)
			if form == InPlace {
				name = fmt.Sprintf("live-%d", i)
			}
			all = append(all, Workload{Kind: kind, Name: name, Form: form, Runs: i < running, Shared: kind == Deployment && form != InPlace && i >= 12})
		}
	}
	add(Deployment, 18, 6, Env, EnvFrom, Volume, SubPath, Projected, Init)
	add(Deployment, 3, 3, InPlace)
	add(StatefulSet, 4, 2, Env, Volume, SubPath, EnvFrom)
	add(DaemonSet, 3, 1, EnvFrom, Volume, Env)
	add(CronJob, 3, 0, Env, EnvFrom, Env)
	add(Job, 2, 2, Env, Volume)
	add(Rollout, 3, 0, Env, Volume, EnvFrom)
	add(DeploymentConfig, 2, 0, Env, Volume)
	add(CloneSet, 2, 0, EnvFrom, SubPath)
	return all
}

func short(kind Kind) string {
	return map[Kind]string{
		Deployment: "deploy", StatefulSet: "stateful", DaemonSet: "daemon", CronJob: "cron", Job: "job",
		Rollout: "rollout", DeploymentConfig: "config", CloneSet: "clones",
	}[kind]
}
