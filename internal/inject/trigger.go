package inject

import (
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/preset"
)

// trigger is how the application is made to reload, and what that needs.
type trigger struct {
	text      string // for people
	signal    bool   // a signal is sent
	processes bool   // the processes of the application are read
	image     string // why the application's own programs are needed, "" when they are not
	validates bool   // a program of the application has to accept the content first
	explains  bool   // a program of the application says what is wrong with a bad file, if it can be had
}

func pickTrigger(p *plan) *skip {
	ask := p.ask
	var row preset.Preset
	if ask.Preset != "" {
		var err error
		if row, err = preset.ByName(ask.Preset); err != nil {
			return because(InvalidAnnotation, "annotation %spreset: %v", annotation.Domain, err).about(annotation.Domain + "preset")
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
		return because(NoTrigger, "nothing says how the application is made to reload; set one of %[1]spreset, %[1]sreload-signal, %[1]sreload-url and %[1]sreload-command",
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
		return because(HostProcesses, "the pod has hostPID, so that a signal might hit a process of the node; use %sreload-url", annotation.Domain)
	case shared != nil && !*shared:
		return because(ProcessesNotShared, "the pod has shareProcessNamespace: false, and to signal the application its processes have to be seen; "+
			"remove it, or use %sreload-url", annotation.Domain)
	case shared != nil:
		return nil
	case ask.ShareProcesses != nil && !*ask.ShareProcesses:
		return because(ProcessesNotShared, "%[1]sshare-processes is \"false\", and to signal the application its processes have to be seen; "+
			"remove it, or use %[1]sreload-url", annotation.Domain).about(annotation.Domain + "share-processes")
	case ask.ShareProcesses == nil && !ask.ByPod && !ask.SaysHow:
		return because(NeedsSharedProcesses, "only the namespace asks for the sidecar, and its signal needs shareProcessNamespace, under which a few images end at once; "+
			"if these do not, set %[1]sshare-processes: \"true\" on the namespace or %[1]sinject: enabled on the pod template; or use %[1]sreload-url", annotation.Domain)
	}
	p.share = true
	return nil
}
