package inject

import (
	"inpod.dev/inpod/internal/preset"
)

// trigger is how the application is made to reload, and what that needs.
type trigger struct {
	text      string // for people
	signal    bool   // a signal is sent
	processes bool   // the processes of the application are read
	image     string // why the application's own programs are needed, "" when they are not
	validates bool   // a program of the application has to accept the content first
	explains  bool   // a program of the application says what is wrong with a bad file, if it is available
}

func pickTrigger(p *plan) *skip {
	ask := p.ask
	var row preset.Preset
	if ask.Preset != "" {
		var err error
		if row, err = preset.ByName(ask.Preset); err != nil {
			return unknownPreset(err)
		}
		if row.Refusal != "" {
			return presetRefused(row.Name, row.Refusal)
		}
	}
	t := trigger{text: "preset " + row.Name, explains: len(row.Explainers) > 0}
	switch {
	case len(ask.Command) > 0:
		t.text, t.image = "command "+ask.Command[0], hasProgram("reload-command")
	case ask.URL != "":
		t.text = "URL"
	case ask.Signal != "":
		t.text, t.signal = "signal "+ask.Signal, true
	case ask.Preset == "":
		return noTrigger()
	default:
		t.signal = row.Signals()
	}
	switch {
	case t.image != "":
	case len(ask.Validate) > 0:
		t.image = hasProgram("validate-command")
	case len(row.Validators) > 0:
		t.image = hasValidator(row.Name)
	}
	t.validates = len(ask.Validate) > 0 || len(row.Validators) > 0
	// A preset with a signal finds its validators' arguments and its proof by looking at the processes.
	t.processes = t.signal || row.Signals() || ask.Process != "" || ask.Cmdline != ""
	p.trigger = t
	return nil
}

// shareProcesses decides about shareProcessNamespace. It is never set against an explicit false: somebody had a reason,
// such as a program that must be PID 1. Nor is it for a pod that says nothing itself, because its namespace asks for all of its
// pods: it changes how the application runs, and an image that insists on being PID 1 ends at once.
func shareProcesses(p *plan) *skip {
	if !p.trigger.processes {
		return nil
	}
	shared, ask := p.spec.ShareProcessNamespace, p.ask
	switch {
	case p.spec.HostPID:
		return hostProcesses()
	case shared != nil && !*shared:
		return processesNotShared()
	case shared != nil:
		return nil
	case ask.ShareProcesses != nil && !*ask.ShareProcesses:
		return sharingForbidden()
	case ask.ShareProcesses == nil && !ask.ByPod && !ask.SaysHow:
		return needsSharedProcesses()
	}
	p.share = true
	return nil
}
