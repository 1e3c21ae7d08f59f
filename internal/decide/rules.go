package decide

import (
	"fmt"
	"slices"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// none is a decision to do nothing.
func none(reason Reason) Decision { return Decision{Action: None, Reason: reason} }

// recording is a decision that only writes the baseline, where that says something new.
func (a *evaluation) recording(reason Reason) Decision {
	return Decision{Action: None, Reason: reason, Record: a.isNew(a.baseline), Baseline: a.baseline}
}

// holding is a decision that leaves what has changed for later. What else is new is recorded now, so that changes of it
// are seen however long that takes.
func (a *evaluation) holding(reason Reason, message string) Decision {
	return Decision{
		Action: None, Reason: reason, Warning: true, Message: message, Causes: a.changed,
		Record: a.isNew(a.waiting), Baseline: a.waiting,
	}
}

// holdingReload is the same where sidecars have said why, or nobody could be asked. It is one matter for each content: the words
// may hold the number of a process, and be those of another pod the next time.
func (a *evaluation) holdingReload(reason Reason, message string) Decision {
	decision := a.holding(reason, message)
	decision.Matter = string(reason) + " " + ContentOf(a.Digester, a.Uses, a.changed, "matter")
	return decision
}

// deleting: a workload that goes needs nothing.
func deleting(a *evaluation) (Decision, bool) {
	return none(Deleting), a.Workload.Deleting
}

// noTemplate: nobody knows what a workload uses whose template cannot be read, and nothing could be written into it. What
// was recorded stays until it can.
func noTemplate(a *evaluation) (Decision, bool) {
	if a.Workload.Fault == "" {
		return Decision{}, false
	}
	decision := none(NoTemplate)
	decision.Warning, decision.Message = true, noTemplateMessage(a.Workload.Fault)
	return decision, a.Policy.Asks()
}

// notFollowed: the workload follows nothing, by opting out or by saying nothing. An old baseline is dropped, so that
// following again later starts from the content of then and rolls nothing.
func notFollowed(a *evaluation) (Decision, bool) {
	decision := none(NotFollowed)
	decision.Record = a.annotated
	return decision, !a.follows
}

// sourceMissing: a new pod would not start, or not work, without something that is not there. It speaks up when a followed
// source is missing, or when something else calls for an action that would hit the gap. A reload in place hits none.
func sourceMissing(a *evaluation) (Decision, bool) {
	var missing []string
	var gaps []evaluated
	for _, u := range a.uses {
		if u.Unseen || !u.selection.Follows() && len(a.changed) == 0 {
			continue
		}
		if names := u.missing(); len(names) > 0 {
			missing, gaps = append(missing, names...), append(gaps, u)
		}
	}
	if len(missing) == 0 || a.reloadsBesides(gaps) {
		return Decision{}, false
	}
	return a.holding(SourceMissing, sourceMissingMessage(missing)), true
}

// missing names what a new pod needs of the source and does not find.
func (u evaluated) missing() []string {
	name := fmt.Sprintf("%s %s", u.Usages.Ref.Kind, u.Usages.Ref.Name)
	if u.Usages.Ref.Kind == source.SecretProviderClass {
		return nil
	}
	if u.Snapshot == nil {
		if u.Usages.Required() {
			return []string{missingSource(name)}
		}
		return nil
	}
	keys := u.Usages.MissingKeys(u.Snapshot, u.record)
	if len(keys) == 0 {
		return nil
	}
	return []string{missingKeys(keys, name)}
}

// firstSeen: nothing that the baseline covers has changed, and it does not cover everything.
func firstSeen(a *evaluation) (Decision, bool) {
	if a.HasBaseline || a.Ask {
		if !a.uncovered || len(a.changed)+len(a.inTemplate) > 0 {
			return Decision{}, false
		}
	}
	return a.recording(BaselineCreated), true
}

// unchanged: the pods have everything. What is recorded too much is dropped.
func unchanged(a *evaluation) (Decision, bool) {
	if len(a.changed)+len(a.inTemplate)+len(a.suppressed) > 0 {
		return Decision{}, false
	}
	decision := a.recording(Unchanged)
	decision.AskPods = a.asks
	return decision, true
}

// appearedOrGone: sources appeared or disappeared only, and that does not count.
func appearedOrGone(a *evaluation) (Decision, bool) {
	if len(a.changed)+len(a.inTemplate) > 0 {
		return Decision{}, false
	}
	reason := DeleteIgnored
	if slices.ContainsFunc(a.suppressed, func(c Cause) bool { return c.Diff.Created }) {
		reason = CreateIgnored
	}
	decision := a.recording(reason)
	decision.Causes = a.suppressed
	return decision, true
}

// templateCarries: the template was edited after all sources that changed, so that the rollout under way carries their
// content. Of several, those that changed later are a reason for another rollout, and the others are none.
func templateCarries(a *evaluation) (Decision, bool) {
	if len(a.changed) > 0 {
		return Decision{}, false
	}
	decision := a.recording(CarriedByTemplate)
	decision.Causes = a.inTemplate
	return decision, true
}

// backOff: it has been rolled often, as happens when two writers fight over one source.
func backOff(a *evaluation) (Decision, bool) {
	if !a.NotBefore.After(a.Now) || a.staysInPlace() {
		return Decision{}, false
	}
	evicts := a.onlyLive() && a.reloadFailed() && a.onFailure() == annotation.FailureEvict
	return a.hold(BackOff, a.NotBefore.Sub(a.Now), func(causes []Cause) string { return backOffMessage(a.NotBefore, evicts, causes) }), true
}

// staysInPlace reports whether the change leads to no rollout: it is reloaded, and that has not failed or may fail.
func (a *evaluation) staysInPlace() bool {
	if a.Workload.Stray {
		return true
	}
	return a.onlyLive() && a.reloads()
}

// reloads reports whether what running containers see is reloaded, and that this has not failed or may fail.
func (a *evaluation) reloads() bool {
	rolls := a.InPlace.Verdict == NeedsRestart || a.reloadFailed() && a.onFailure() != annotation.FailureNone
	return a.Workload.Cron == nil && a.InPlace.Sidecar && !rolls
}

// reloadFailed answers for a failed reload, as on-failure asks.
func (a *evaluation) reloadFailed() bool { return a.InPlace.failed(a.Options) }

func (p InPlace) failed(options Options) bool {
	return p.Verdict == Failed || p.Verdict == Overdue || p.isUnknown() && options.RollUnreachable
}

// isUnknown reports whether the controller has asked for long enough, and does not know what the pods have.
func (p InPlace) isUnknown() bool { return p.Verdict == Unreachable || p.Verdict == NotUnderstood }

// AsksForRollout reports whether the pods will not take up the change in place, so that the sidecars have nothing more
// to say of it.
func (p InPlace) AsksForRollout(options Options) bool {
	return p.Verdict == NeedsRestart || p.failed(options)
}

// frozenChanged: a running container will never see at least one of the changes.
func frozenChanged(a *evaluation) (Decision, bool) {
	if a.onlyLive() {
		return Decision{}, false
	}
	return a.rollout(FrozenChanged, ""), true
}

// reloadInPlace: running containers see everything that changed, and every pod has a sidecar that makes its application
// reload. What became of that decides how it ends.
func reloadInPlace(a *evaluation) (Decision, bool) {
	if !a.InPlace.Sidecar || a.Workload.Cron != nil {
		return Decision{}, false
	}
	if a.reloadFailed() {
		return a.failed(), true
	}
	switch a.InPlace.Verdict {
	case Confirmed:
		decision := a.recording(ReloadConfirmed)
		decision.Causes = a.changed
		if a.InPlace.Nothing {
			decision.Reason = NothingToReload
			return decision, true
		}
		decision.Message = a.reloadConfirmedMessage()
		return decision, true
	case Rejected:
		return a.holdingReload(ReloadRejected, a.reloadRejectedMessage()), true
	case NeedsRestart:
		// No failure, so that on-failure does not speak of it: as with a variable, running containers never take it up.
		return a.rollout(RestartNeeded, a.InPlace.restartNeededNote()), true
	case NotUnderstood:
		return a.holdingReload(SidecarNotUnderstood, a.sidecarNotUnderstoodMessage()), true
	case Unreachable:
		return a.holdingReload(SidecarUnreachable, a.sidecarUnreachableMessage()), true
	case Unknown, Failed, Overdue:
	}
	decision := Decision{Action: Reload, Reason: LiveChanged, Causes: a.changed, Baseline: a.baseline}
	decision.Message = a.liveChangedMessage()
	return decision, true
}

// failed is what follows a reload that has failed.
func (a *evaluation) failed() Decision {
	switch a.onFailure() {
	case annotation.FailureNone:
		message := a.reloadFailedMessage()
		if a.Policy.OnFailure != annotation.FailureNone {
			message = a.failedAgainMessage()
		}
		return a.holdingReload(ReloadFailed, message)
	case annotation.FailureEvict:
		return a.replacing()
	case annotation.FailureRollout:
	}
	return a.rollout(ReloadFailed, a.reloadFailedNote())
}

// onFailure is what follows a reload that has failed. Where nothing is said, the pods that failed are evicted if the
// workload may do without so many while it rolls: more of them are no matter of single pods. Pods that are younger than
// the content count, since others may have failed in their places: no process has to remember whom it evicted. Where one
// of them fails, an eviction has not helped, and nothing follows.
func (a *evaluation) onFailure() annotation.OnFailure {
	said := a.Policy.OnFailure
	switch {
	case a.Workload.Stray:
		return annotation.FailureRollout // which is reported alone
	case said == annotation.FailureNone, said == annotation.FailureRollout:
		return said
	case !a.Options.Evict || a.Workload.Job != nil || a.Workload.Cron != nil || a.InPlace.Failing == 0 || a.InPlace.Undated:
		return annotation.FailureRollout
	case said != annotation.FailureEvict && (a.Options.Webhook || a.InPlace.Failing+a.InPlace.Replaced > a.Workload.MaxUnavailable):
		return annotation.FailureRollout
	case slices.ContainsFunc(a.InPlace.Failed, func(p FailedPod) bool { return p.Younger }):
		return annotation.FailureNone
	}
	return annotation.FailureEvict
}

// replacing evicts the pods that failed, so many that the workload does without no more pods than while it rolls. The
// others wait until the rest is ready.
func (a *evaluation) replacing() Decision {
	decision := Decision{Action: Replace, Reason: ReloadFailed, Causes: a.changed, Baseline: a.baseline, Message: a.replaceMessage()}
	failed, most := a.InPlace.Failed, max(1, a.Workload.MaxUnavailable)
	decision.Pods = failed[:min(max(0, most-a.InPlace.Unavailable), len(failed))]
	if len(decision.Pods) == 0 {
		decision.Action, decision.Reason, decision.Pods, decision.Message = Reload, LiveChanged, nil, a.liveChangedMessage()
		if len(failed) > 0 {
			decision.Blocked = evictionWaitsMessage(failed[0].Name, a.InPlace.Unavailable, most)
		}
	}
	return decision
}

// liveChanged: running containers see the change, and nothing makes their applications take it up.
func liveChanged(a *evaluation) (Decision, bool) {
	note := ""
	if a.Policy.Injected {
		note = noSidecarNote()
	}
	return a.rollout(NoSidecar, note), true
}

// onlyLive reports whether every change reaches running containers.
func (a *evaluation) onlyLive() bool {
	for _, cause := range a.changed {
		for _, change := range cause.Diff.Changes {
			if change.Frozen {
				return false
			}
		}
	}
	return true
}

func (a *evaluation) rollout(reason Reason, note string) Decision {
	if a.Workload.Stray {
		return a.holdingReload(reason, a.strayMessage(note))
	}
	a.forgetDeleted()
	return Decision{
		Action: Rollout, Reason: reason, Causes: a.changed, Record: true, Baseline: a.baseline,
		ConfigHashes: a.configHashes(), Stale: a.stale(), Pause: a.Policy.Pacing.Pause() > 0,
		Message: a.rolloutMessage(note),
	}
}
