package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/command"
	"inpod.dev/inpod/sidecar/internal/process"
)

// errNoValidator means that a server which does not survive a bad file cannot be protected from one here.
var errNoValidator = errors.New("no validator to be found in this image")

// validate asks the first validator that exists. done means that nothing may be sent.
func (r *Reloader) validate(ctx context.Context, target *process.Process) (out agent.Outcome, done bool) {
	argv := firstOf(r.Plan.Row.Validators, target)
	if r.Plan.Row.SameUser && target != nil && target.UID != os.Geteuid() {
		argv = nil
	}
	if argv == nil {
		if !r.Plan.Row.MustValidate {
			return agent.Outcome{}, false
		}
		return failed(fmt.Errorf("%w: %s %s on a bad file, so nothing was sent; run the sidecar in the application's "+
			"image, or set a validate-command", errNoValidator, r.Plan.Row.Name, r.Plan.Row.BadFile)), true
	}
	result := run(ctx, argv, r.directory(target), r.Plan.CommandTimeout)
	switch {
	case result.err == nil:
		return agent.Outcome{}, false
	case result.exited:
		return agent.Outcome{Result: agent.Rejected, Proof: "validator", Message: result.String()}, true
	}
	return failed(result.err), true
}

// explain adds the application's own words to a rejection that came without any.
func (r *Reloader) explain(ctx context.Context, target *process.Process, out agent.Outcome) agent.Outcome {
	if out.Result != agent.Rejected {
		return out
	}
	if argv := firstOf(r.Plan.Row.Explainers, target); argv != nil {
		if result := run(ctx, argv, r.directory(target), r.Plan.CommandTimeout); result.exited {
			out.Message += "; " + result.String()
		}
	}
	return out
}

// directory is where the process works, since its arguments may be relative to that. "" is the sidecar's own, when that
// is not to be known or not there: another container may have another file system.
func (r *Reloader) directory(target *process.Process) string {
	if target == nil {
		return ""
	}
	dir := r.Table.Directory(*target)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// firstOf expands the first template whose program exists, nil when there is none.
func firstOf(templates [][]string, target *process.Process) []string {
	for _, template := range templates {
		argv := expand(template, target)
		if len(argv) == 0 {
			continue
		}
		if _, err := exec.LookPath(argv[0]); err == nil {
			return argv
		}
	}
	return nil
}

// expand fills a command template (see package preset) from the running process, nil when it cannot.
func expand(template []string, target *process.Process) []string {
	var p process.Process
	if target != nil {
		p = *target
	}
	var argv []string
	for _, part := range template {
		var filled []string
		switch part {
		case preset.Comm:
			filled = nonEmpty(p.Comm)
		case preset.Title:
			filled = nonEmpty(p.InTitle())
		case preset.Args:
			if !p.Titled() {
				filled = p.Words()
			}
		default:
			argv = append(argv, fill(part, p.Words())...)
			continue
		}
		if filled == nil {
			return nil
		}
		argv = append(argv, filled...)
	}
	return argv
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// fill expands a part such as "-q", "{-c}", "{-c=}" or "--file={-c}".
func fill(part string, words []string) []string {
	before, rest, ok := strings.Cut(part, "{")
	name, after, closed := strings.Cut(rest, "}")
	if !ok || !closed || after != "" {
		return []string{part}
	}
	flag, whole := strings.CutSuffix(name, "=")
	var filled []string
	for _, value := range valuesOf(words, flag) {
		if whole {
			filled = append(filled, flag)
		}
		filled = append(filled, before+value)
	}
	return filled
}

// valuesOf finds "-c value" and "-c=value", every one of them.
func valuesOf(words []string, flag string) []string {
	var values []string
	for i, word := range words {
		if value, ok := strings.CutPrefix(word, flag+"="); ok {
			values = append(values, value)
		} else if word == flag && i+1 < len(words) {
			values = append(values, words[i+1])
		}
	}
	return values
}

// ran is what came of a command.
type ran struct {
	argv   []string
	output string
	err    error
	// exited is true when it ran to its own end, and said no.
	exited bool
}

func (c ran) String() string {
	if c.output == "" {
		return fmt.Sprintf("%s: %v", c.argv[0], c.err)
	}
	return fmt.Sprintf("%s: %v: %s", c.argv[0], c.err, quote(c.output))
}

// run runs a command, and adds its own words to an error for which they may be the reason.
func run(ctx context.Context, argv []string, dir string, timeout time.Duration) ran {
	done := command.Run(ctx, command.Command{Argv: argv, Dir: dir, Timeout: timeout})
	result := ran{argv: argv, output: done.Output, err: done.Err, exited: done.Exited}
	if result.err == nil || result.exited {
		return result
	}
	if said := quote(result.output); said != "" {
		result.err = fmt.Errorf("%w: %s", result.err, said)
	}
	return result
}

// clip makes a short line out of an output. Where it is too long, the lines that speak of a failure are kept.
func clip(text string) string {
	const limit = 400
	lines := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r < ' ' || r == 0x7f })
	joined := strings.TrimSpace(strings.Join(lines, "; "))
	if len(joined) <= limit {
		return joined
	}
	if telling := slices.DeleteFunc(lines, quiet); len(telling) > 0 {
		joined = strings.TrimSpace(strings.Join(telling, "; "))
	}
	if len(joined) > limit {
		joined = strings.ToValidUTF8(joined[:limit], "") + "…"
	}
	return joined
}

// quiet says whether a line does not speak of a failure.
func quiet(line string) bool {
	line = strings.ToLower(line)
	for _, word := range []string{"error", "fatal", "fail", "emerg", "alert", "invalid", "unknown", "unrecognized"} {
		if strings.Contains(line, word) {
			return false
		}
	}
	return true
}
