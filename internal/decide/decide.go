// Package decide decides what has to happen to one workload: nothing, a
// reload in its pods, or a rollout.
//
// It is pure: everything it needs comes in as an [Input], and a [Decision]
// with action, reason and message goes out. Reading the cluster (observe),
// writing to it (act) and the loop (reconcile) are elsewhere.
//
//	Input: view, policy, sources, baseline
//	   │ evaluate: which sources are followed, how each differs from its record
//	   ▼
//	rules(), in order, the first that answers wins ──► Decision
package decide

import (
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// Input is everything that a decision depends on.
type Input struct {
	Workload workload.View
	Policy   annotation.Policy
	// Uses are the sources that [Wanted] names, as they are now, in its order.
	Uses []source.SourceState
	// Baseline is what the pods are known to have taken up; HasBaseline is false for a workload that inpod sees for
	// the first time.
	Baseline    source.Baseline
	HasBaseline bool
	// OtherKey reports whether the digests of Baseline were made with another key: what it covers and what was pending is
	// known then, and the content is not.
	OtherKey bool
	// Ask reports whether the pods are to be asked what they have, where HasBaseline is false.
	Ask      bool
	Digester source.Digester
	Options  Options
	// InPlace is what is known of a reload in the pods.
	InPlace InPlace
	// Pods is what the workload's pods say when they were started, nil if they were not listed: see [Decision.AskPods].
	Pods *Pods
	// Unsettled reports whether more changes may be on the way.
	Unsettled bool
	// Now is the time, and NotBefore the time until which a rollout has to wait: zero for no wait.
	Now, NotBefore time.Time
	// Settle is the quiet time after an edit, which has gone by.
	Settle time.Duration
	// EditedSince is when the first edit was seen that has not led to anything; zero where that is not known.
	EditedSince time.Time
}

// Options are the settings of the controller that decisions depend on.
type Options struct {
	AutoAll  bool // follow every source of a workload on which nothing is said
	OnCreate bool // a source that appears counts as a change
	OnDelete bool // a source that disappears counts as a change
	// NotifyOnly reports changes and does nothing, where a workload says nothing about that.
	NotifyOnly bool
	// Webhook reports whether somebody else is asked to roll.
	Webhook bool
	// Ignored are kinds of sources that inpod does not read.
	Ignored []source.Kind
	// Filtered reports whether a source may exist without being seen: one that is not there may be one that was not
	// selected.
	Filtered bool
	// Windows are when workloads may be rolled that say nothing about that.
	Windows window.Windows
	// Evict reports whether pods may be evicted.
	Evict bool
	// RollUnreachable has workloads rolled whose sidecars cannot be reached, or answer what is not understood.
	RollUnreachable bool
}

// Unseen reports whether nothing can be said of a source, with or without a snapshot: it may be there.
func (o Options) Unseen(kind source.Kind, snapshot *source.Snapshot) bool {
	return slices.Contains(o.Ignored, kind) || o.Filtered && snapshot == nil
}

// InPlace is what is known of a reload in the pods of the workload.
type InPlace struct {
	// Sidecar reports whether every pod carries the sidecar.
	Sidecar bool
	// Verdict is what the sidecars said of the content that is current now.
	Verdict Verdict
	// Pod is the first pod that the verdict comes from, and Container its application's container, "" if that is not known.
	// Message is what the application said, or what else is the matter.
	Pod, Container, Message string
	// Failed are pods that the verdict [Failed] or [Overdue] is about: those that were just asked. Failing is how many
	// such pods there are in all.
	Failed  []FailedPod
	Failing int
	// Replaced is how many other pods are younger than the content, whoever has replaced the pods before them; and
	// Unavailable is how many others are not ready or are missing.
	Replaced, Unavailable int
	// Undated reports that nobody knows when the content changed, and so which pods are younger.
	Undated bool
	// Nothing is set on a confirmation when no pod had anything to take up, so that nothing was reloaded.
	Nothing bool
	// Proven is set on a confirmation when every application itself says that it runs with the content, or was seen to.
	// Trigger is what was sent to that of the pod, and Proof what showed the result; both may be "".
	Proven         bool
	Trigger, Proof string
}

// FailedPod is a pod that will not take the content up by a reload.
type FailedPod struct {
	Name string
	UID  types.UID
	// Younger reports whether the pod was made after the content, so that another one in its place has nothing that this
	// one lacks.
	Younger bool
}

// Same reports whether two states say the same.
func (p InPlace) Same(other InPlace) bool {
	failed := slices.Equal(p.Failed, other.Failed)
	p.Failed, other.Failed = nil, nil
	return failed && reflect.DeepEqual(p, other)
}

// Verdict sums up what the sidecars of a workload said.
type Verdict string

// The verdicts.
const (
	Unknown       Verdict = ""              // not asked, or not all have answered yet
	Confirmed     Verdict = "Confirmed"     // every pod has applied the content
	Rejected      Verdict = "Rejected"      // an application kept its old content because it does not accept the new one
	NeedsRestart  Verdict = "NeedsRestart"  // an application never re-reads what changed
	Failed        Verdict = "Failed"        // a reload could not be triggered, or the application died
	NotUnderstood Verdict = "NotUnderstood" // what the sidecar of a pod answers is not understood: nothing is known
	Unreachable   Verdict = "Unreachable"   // no sidecar of the workload can be reached: nothing is known
	Overdue       Verdict = "Overdue"       // a pod has not confirmed in time
)

// Verdicts lists every verdict but [Unknown].
func Verdicts() []Verdict {
	return []Verdict{Confirmed, Rejected, NeedsRestart, Failed, NotUnderstood, Unreachable, Overdue}
}

// Decision is what has to happen.
type Decision struct {
	Action  Action
	Reason  Reason
	Message string // one line, for events and logs; "" where there is nothing to report
	// Warning reports whether the user has to do something.
	Warning bool
	// Matter is what a warning is about, where its message may differ from one decision to the next; "" where the message says
	// it. A matter is reported once.
	Matter string
	// Causes are the changed sources that it is about, sorted by reference.
	Causes []Cause
	// Held is what has changed as well and waits, where the rest is reloaded; its reason is "" for nothing. See
	// [Decision.Waiting].
	Held Hold
	// ConfigHashes are what a rollout writes into the pod template.
	ConfigHashes []ConfigHash
	// Stale are variables of a former rollout whose source is not used any more, as "container/NAME".
	Stale []string
	// Pods are those that are evicted, and Blocked says why an eviction waits for other pods; "" if none does.
	Pods    []FailedPod
	Blocked string
	// Pause reports whether the rollout writes its time onto the workload, for the pause-period that begins with it.
	Pause bool
	// Record reports whether Baseline is to be written. A rollout always records.
	Record   bool
	Baseline source.Baseline
	// AskPods reports whether the pods of the workload have to be listed, and it has to be decided again with what they say.
	AskPods bool
	// TooLarge says that the baseline does not cover everything, "" if it does.
	TooLarge string
	// ContentUnknown names sources whose content the pods may have or not, which nobody can know: since the digest key was
	// replaced, or since template and source were edited unseen. It is "" for none.
	ContentUnknown string
	// After is when to decide again; 0 for not before something changes.
	After time.Duration
	// Expiring are sentences about files of the pods that expire, whatever is decided; one for each mount.
	Expiring []string
}

// Cause is one changed source.
type Cause struct {
	Ref       source.Ref
	Diff      source.Diff
	Selection annotation.Selection
}

// Action is what is done to a workload.
type Action string

// The actions.
const (
	None     Action = "None"     // nothing, or only the baseline is written
	Reload   Action = "Reload"   // the sidecars make the applications reload
	Replace  Action = "Replace"  // the pods that failed are evicted, and new ones take their places
	Rollout  Action = "Rollout"  // new pods replace the old ones
	Resume   Action = "Resume"   // a Deployment that Reloader has paused goes on
	Recreate Action = "Recreate" // the recreation of a Job continues
)

// Actions lists every action.
func Actions() []Action { return []Action{None, Reload, Replace, Rollout, Resume, Recreate} }

// Reason is why.
type Reason string

// The reasons, in the order of the rules.
const (
	Deleting             Reason = "Deleting"             // the workload is being deleted
	NoTemplate           Reason = "NoTemplate"           // its pod template cannot be used
	RecreatingJob        Reason = "RecreatingJob"        // it is the placeholder of a Job that inpod is recreating
	Finished             Reason = "Finished"             // a Job has ended
	OwnedJob             Reason = "OwnedJob"             // a Job that something else creates or runs
	PausedByReloader     Reason = "PausedByReloader"     // Reloader has paused it and left
	NotFollowed          Reason = "NotFollowed"          // it follows no source
	SourceMissing        Reason = "SourceMissing"        // a source or key that new pods need does not exist
	RolloutUndone        Reason = "RolloutUndone"        // the template was put back before all pods had what was asked for
	UndoWithoutContent   Reason = "UndoWithoutContent"   // the template was put back, and the content was not
	TemplateRolling      Reason = "TemplateRolling"      // a rollout of the template shows what the pods get
	BaselineRestored     Reason = "BaselineRestored"     // an old baseline was put back, and the template is the current one
	ImmutableRecreated   Reason = "ImmutableRecreated"   // an immutable source is another object than before
	NoPods               Reason = "NoPods"               // it is scaled to zero
	BaselineCreated      Reason = "BaselineCreated"      // inpod sees it, or something that it uses, for the first time
	Unchanged            Reason = "Unchanged"            // nothing that it uses has changed
	CreateIgnored        Reason = "CreateIgnored"        // a source appeared, and --reload-on-create is off
	DeleteIgnored        Reason = "DeleteIgnored"        // a source disappeared, and --reload-on-delete is off
	CarriedByTemplate    Reason = "CarriedByTemplate"    // the rollout of a later template carries the content
	NotifyOnly           Reason = "NotifyOnly"           // changes are reported and not applied
	PausePeriod          Reason = "PausePeriod"          // it was rolled within its pause-period
	WindowClosed         Reason = "WindowClosed"         // its maintenance window is closed
	BackOff              Reason = "BackOff"              // it was rolled too often lately
	Suspended            Reason = "Suspended"            // a CronJob is suspended: what it starts later reads the content
	ConcurrencyForbidden Reason = "ConcurrencyForbidden" // a CronJob forbids two Jobs at a time
	FrozenChanged        Reason = "FrozenChanged"        // running containers cannot see the change
	NothingToReload      Reason = "NothingToReload"      // no running pod has anything of the change
	ReloadConfirmed      Reason = "ReloadConfirmed"      // every pod has applied the change
	ReloadRejected       Reason = "ReloadRejected"       // an application does not accept the change
	RestartNeeded        Reason = "RestartNeeded"        // an application never re-reads the change
	ReloadFailed         Reason = "ReloadFailed"         // an application could not be made to reload
	SidecarNotUnderstood Reason = "SidecarNotUnderstood" // what a sidecar answers is not understood, so that nobody knows
	SidecarUnreachable   Reason = "SidecarUnreachable"   // no sidecar can be reached, so that nobody knows
	LiveChanged          Reason = "LiveChanged"          // running containers see the change and a sidecar reloads
	NoSidecar            Reason = "NoSidecar"            // running containers see the change and nothing makes them reload
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{
		Deleting, NoTemplate, RecreatingJob, Finished, OwnedJob, PausedByReloader, NotFollowed, SourceMissing, BaselineCreated,
		RolloutUndone, UndoWithoutContent, TemplateRolling, BaselineRestored, ImmutableRecreated, Unchanged, CreateIgnored, DeleteIgnored, CarriedByTemplate, NoPods,
		NotifyOnly, PausePeriod, WindowClosed, BackOff, Suspended, ConcurrencyForbidden,
		FrozenChanged, NothingToReload, ReloadConfirmed, ReloadRejected, RestartNeeded, ReloadFailed, SidecarNotUnderstood, SidecarUnreachable, LiveChanged, NoSidecar,
	}
}

// Rule answers for the inputs that it is about, and passes on all others.
type Rule func(*evaluation) (Decision, bool)

// rules is the order of precedence. It reads like the table in docs/decisions.md.
func rules() []Rule {
	return []Rule{
		deleting,           // 1  None
		noTemplate,         // 1  None, warning
		jobIsHandled,       // 1  Recreate, None
		pausedByReloader,   // 1  Resume
		notFollowed,        // 1  None, the baseline is dropped
		sourceMissing,      // 2  None, warning: rolling now would break healthy pods
		templatePutBack,    // 3  None, warning: held
		templateUnknown,    // 3  later
		firstSeen,          // 3  record only
		immutableRecreated, // 4  None, warning: held
		unchanged,          // 5  None
		appearedOrGone,     // 6  record only
		templateCarries,    // 7  record only
		noPods,             // 7  record only
		notifyOnlyRule,     // 8  None; what is live is decided by 10
		pausePeriod,        // 8  later; what is live is decided by 10
		windowClosed,       // 8  later; what is live is decided by 10
		backOff,            // 8  later; what is live is decided by 10
		jobMayStart,        // 8  record only, later
		frozenChanged,      // 9  Rollout
		reloadInPlace,      // 10 Reload, Replace
		liveChanged,        // 11 Rollout
	}
}

// Decide returns what has to happen.
func Decide(in Input) Decision {
	a := evaluate(in)
	for _, rule := range rules() {
		if decision, answered := rule(a); answered {
			decision.After, decision.Expiring = a.nextDecision(decision.After), a.expiring()
			return a.finish(decision)
		}
	}
	return Decision{Action: None, Reason: Unchanged}
}

// finish makes the baseline of a decision complete.
func (a *evaluation) finish(decision Decision) Decision {
	if decision.AskPods = decision.AskPods && a.Pods == nil; decision.AskPods || a.unread {
		decision.Record = false
	}
	if decision.Record && decision.Action != Rollout {
		decision.ContentUnknown = a.contentUnknown()
	}
	if len(decision.Baseline.Records) == 0 {
		return decision
	}
	hashes := a.claims
	if decision.Action == Rollout {
		hashes = decision.ConfigHashes
	}
	if decision.Reason == Unchanged && hashes == nil { // most decisions, and that is what was compared
		decision.Baseline = a.compared
	} else {
		decision.Baseline = a.complete(decision.Baseline, hashes)
	}
	if decision.Baseline.Partial {
		decision.TooLarge = tooLarge()
	}
	return decision
}
