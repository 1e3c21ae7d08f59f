package inject

import (
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/preset"
)

// trigger is how the application is told to reload, and what that needs.
type trigger struct {
	text      string // for people
	signal    bool   // a signal is sent
	processes bool   // the processes of the application are looked at
	image     string // why the application's own programs are needed, "" when they are not
	explains  bool   // a program of the application says what is wrong with a bad file, if it can be had
}

func pickTrigger(p *plan) *skip {
	ask := p.ask
	var row preset.Preset
	if ask.Preset != "" {
		var err error
		if row, err = preset.ByName(ask.Preset); err != nil {
			return because(BadAnnotation, "annotation %spreset: %v", annotation.Domain, err)
		}
		if row.Refusal != "" {
			return because(PresetRefused, "%s is not reloaded: %s", row.Name, row.Refusal)
		}
	}
	t := trigger{text: "preset " + row.Name, explains: len(row.Explainers) > 0}
	switch {
	case len(ask.Command) > 0:
		t.text, t.image = "command "+ask.Command[0], "it has the program of "+annotation.Domain+"reload-command"
	case ask.URL != "":
		t.text = "URL"
	case ask.Signal != "":
		t.text, t.signal = "signal "+ask.Signal, true
	case ask.Preset == "":
		return because(NoTrigger, "nothing says how the application is told to reload; set one of %[1]spreset, %[1]sreload-signal, %[1]sreload-url and %[1]sreload-command",
			annotation.Domain)
	default:
		t.signal = row.Signals()
	}
	switch {
	case t.image != "":
	case len(ask.Validate) > 0:
		t.image = "it has the program of " + annotation.Domain + "validate-command"
	case len(row.Validators) > 0:
		t.image = "it has the validator of preset " + row.Name
	}
	// A preset with a signal finds its validators' arguments and its proof by looking at the processes.
	t.processes = t.signal || row.Signals() || ask.Process != "" || ask.Cmdline != ""
	p.trigger = t
	return nil
}

// shareProcesses decides about shareProcessNamespace. It is never set against an explicit false: somebody had a reason,
// such as a program that must be PID 1.
func shareProcesses(p *plan) *skip {
	if !p.trigger.processes {
		return nil
	}
	shared := p.spec.ShareProcessNamespace
	switch {
	case p.spec.HostPID:
		return because(HostProcesses, "the pod has hostPID, so that a signal might hit a process of the node; use %sreload-url", annotation.Domain)
	case shared != nil && !*shared:
		return because(ProcessesNotShared, "the pod has shareProcessNamespace: false, and to signal the application its processes have to be seen; "+
			"remove it, or use %sreload-url", annotation.Domain)
	}
	p.share = shared == nil
	return nil
}
