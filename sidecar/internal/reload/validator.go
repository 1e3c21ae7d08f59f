package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/command"
	"inpod.dev/inpod/sidecar/internal/process"
)

// errNoValidator means that a server which does not survive a bad file cannot be protected from one here.
var errNoValidator = errors.New("no validator to be found in this image")

// errUnsure means that a validator would check something else than what the running process reads.
var errUnsure = errors.New("no validator can be sure to check what it runs with")

// validate asks the first validator that exists. done means that nothing may be sent.
func (r *Reloader) validate(ctx context.Context, target *process.Process) (out agent.Outcome, done bool) {
	argv, err := r.firstOf(r.Plan.Row.Validators, target)
	if r.Plan.Row.SameUser && target != nil && target.UID != os.Geteuid() {
		argv, err = nil, nil
	}
	if argv == nil {
		if !r.Plan.Row.MustValidate {
			return agent.Outcome{}, false
		}
		row := r.Plan.Row
		if err != nil {
			return failed(fmt.Errorf("%w: %w; %s %s on a bad file, so nothing was sent; set a validate-command that is sure",
				errUnsure, err, row.Name, row.BadFile)), true
		}
		return failed(fmt.Errorf("%w: %s %s on a bad file, so nothing was sent; run the sidecar in the application's "+
			"image, or set a validate-command", errNoValidator, row.Name, row.BadFile)), true
	}
	result := r.runLike(ctx, target, argv)
	switch {
	case result.err == nil:
		return agent.Outcome{}, false
	case result.exited && strings.Contains(result.output, "chroot: permission denied") && !r.Plan.Row.MustValidate:
		return agent.Outcome{}, false // named-checkconf -t is for root only, and has not read the file
	case result.exited:
		return agent.Outcome{Result: agent.Rejected, Proof: "validator", Message: result.String()}, true
	}
	return failed(result.err), true
}

// runLike runs a command where the process works, and with its variables, since its arguments may be relative to the one,
// and its configuration made of the others.
func (r *Reloader) runLike(ctx context.Context, target *process.Process, argv []string) ran {
	return runAs(ctx, command.Command{
		Argv: argv, Dir: r.directory(target), Env: r.withoutInternal(r.variables(target)), Timeout: r.Plan.CommandTimeout,
	})
}

// withoutInternal drops what the server has set for itself.
func (r *Reloader) withoutInternal(variables []string) []string {
	return slices.DeleteFunc(variables, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(r.Plan.Row.Internal, name)
	})
}

// variables are those that the process was started with. nil, which is the sidecar's own, stands for those that may not be
// read, or that a title has overwritten: in a pod the sidecar has the same as the application whose image it runs.
func (r *Reloader) variables(target *process.Process) []string {
	if target == nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(r.Table.Root, strconv.Itoa(target.PID), "environ"))
	if err != nil || len(text) == 0 {
		return nil
	}
	all := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	for _, each := range all {
		if name, _, ok := strings.Cut(each, "="); !ok || name == "" || strings.ContainsAny(name, " :/") {
			return nil
		}
	}
	return all
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

// firstOf expands the first template whose program exists, nil when there is none. The error says why those that exist
// cannot be sure to check what the process runs with.
func (r *Reloader) firstOf(templates [][]string, target *process.Process) (argv []string, err error) {
	for _, template := range templates {
		expanded, why := r.expand(template, target)
		if why != nil {
			err = why
			continue
		}
		if len(expanded) == 0 {
			continue
		}
		if _, missing := exec.LookPath(expanded[0]); missing == nil {
			return expanded, nil
		}
	}
	return nil, err
}

// expand fills a command template (see package preset) from the running process, nil when what it needs is hidden.
func (r *Reloader) expand(template []string, target *process.Process) ([]string, error) {
	var p process.Process
	if target != nil {
		p = *target
	}
	var argv []string
	for _, part := range template {
		var filled []string
		var err error
		switch part {
		case preset.Comm:
			filled = nonEmpty(p.Comm)
		case preset.Title:
			filled = nonEmpty(p.InTitle())
		case preset.Args:
			if !p.Titled() {
				filled = p.Words()
			}
		case preset.Options:
			if filled, err = r.options(p); err != nil {
				return nil, err
			}
			argv = append(argv, filled...)
			continue
		default:
			filled, err = r.fill(part, p)
			if err != nil {
				return nil, err
			}
			argv = append(argv, filled...)
			continue
		}
		if filled == nil {
			return nil, nil
		}
		argv = append(argv, filled...)
	}
	return argv, nil
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// arguments are those of the running process, as its own grammar has them.
func (r *Reloader) arguments(p process.Process) (preset.Parsed, error) {
	grammar := *r.Plan.Row.Grammar
	words, titled := p.Words(), p.Titled()
	switch {
	case len(p.Args) == 0:
		return preset.Parsed{}, errors.New("the process is not to be seen, nor its arguments")
	case titled && grammar.Title != "":
		var ok bool
		if words, ok = grammar.Words(p.Args[0]); !ok {
			return preset.Parsed{}, fmt.Errorf("the title of %s does not show its arguments", p)
		}
	case titled:
		return preset.Parsed{}, fmt.Errorf("%s hides its arguments behind a title", p)
	}
	parsed, err := grammar.Parse(words)
	if err != nil {
		return preset.Parsed{}, fmt.Errorf("arguments of %s: %w", p, foreign{err})
	}
	if relative := parsed.Relative(); relative != "" && r.directory(&p) == "" {
		return preset.Parsed{}, fmt.Errorf("arguments of %s: the path of %s is relative, and the directory of the process is not to be known", p, theirs(relative))
	}
	return parsed, nil
}

// options are the arguments of the process that a validator must be given, too.
func (r *Reloader) options(p process.Process) ([]string, error) {
	parsed, err := r.arguments(p)
	if err != nil {
		return nil, err
	}
	words, err := parsed.ForValidator(*r.Plan.Row.Grammar)
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", p, foreign{err})
	}
	return words, nil
}

// fill expands a part such as "-q", "{-c}", "{-c=}" or "--file={-c}".
func (r *Reloader) fill(part string, p process.Process) ([]string, error) {
	before, rest, ok := strings.Cut(part, "{")
	name, after, closed := strings.Cut(rest, "}")
	if !ok || !closed || after != "" {
		return []string{part}, nil
	}
	flag, whole := strings.CutSuffix(name, "=")
	values := valuesOf(p.Words(), flag)
	if r.Plan.Row.Grammar != nil {
		parsed, err := r.arguments(p)
		if err != nil {
			return nil, err
		}
		values = parsed.Values(flag)
	}
	if !whole && r.Plan.Row.Grammar != nil && len(values) > 1 {
		values = values[len(values)-1:] // a server that takes one file takes the last that it is given
	}
	var filled []string
	for _, value := range values {
		if whole {
			filled = append(filled, flag)
		}
		filled = append(filled, before+value)
	}
	return filled, nil
}

// valuesOf finds "-c value" and "-c=value", every one of them: the grammar of servers whose own is not known.
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
