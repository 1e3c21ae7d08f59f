package reload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// witness knows how one server is asked what it makes of its files. It lives for one attempt.
type witness interface {
	// before asks before anything is sent. done means that nothing may be sent, and out says why.
	before(ctx context.Context) (out agent.Outcome, done bool)
	// after asks once, after the trigger.
	after(ctx context.Context) finding
}

// finding is what one question showed.
type finding struct {
	// verdict is wait as long as there is no answer; then nothing else is set.
	verdict verdict
	result  agent.Result
	proven  bool
	// proof and message are as in agent.Outcome.
	proof   string
	message sentence
}

// unproven is the finding that nothing contradicts, and why it is no more than that.
func unproven(proof string, why sentence) finding {
	return finding{verdict: yes, result: agent.Applied, proof: proof, message: "not proven: " + why}
}

// refuse is the outcome when the files are known to be bad before anything is sent.
func refuse(proof preset.ProofKind, why sentence) agent.Outcome {
	return agent.Outcome{Result: agent.Rejected, Proof: string(proof), Message: string("nothing was sent: " + why)}
}

// needsRestart is the outcome when a reload is known not to take what changed.
func needsRestart(proof preset.ProofKind, why sentence) agent.Outcome {
	return agent.Outcome{Result: agent.NeedsRestart, Proof: string(proof), Final: true, Message: string("nothing was sent: " + why)}
}

// witnessOf is nil for a server that cannot be asked in a way of its own.
func (r *Reloader) witnessOf(target *process.Process, change agent.Change) witness {
	if target == nil {
		return nil
	}
	switch r.Plan.Row.Proof.Kind {
	case preset.ProofPostgres:
		return &postgres{server: r.server(target, change)}
	case preset.ProofPgbouncer:
		return newPgbouncer(r.server(target, change), r.Table)
	case preset.ProofBind:
		return &bind{server: r.server(target, change)}
	case preset.ProofNATS:
		return &nats{reloader: r}
	case preset.ProofDnsmasq:
		return &dnsmasq{server: r.server(target, change), workDir: r.Table.Directory(*target)}
	case preset.ProofBroker:
		return &broker{server: r.server(target, change), workDir: r.Table.Directory(*target)}
	default:
		return nil
	}
}

// server is what every witness has: the process, the change, and the file system that the process sees.
type server struct {
	process.Process
	change agent.Change
	// watched are the watched paths.
	watched []string
	// dir is the process's own folder below /proc.
	dir string
}

func (r *Reloader) server(target *process.Process, change agent.Change) server {
	return server{*target, change, r.Secrets, filepath.Join(r.Table.Root, strconv.Itoa(target.PID))}
}

// see is where this process finds what the other calls path. Its root is only shown to the same user; a volume that both
// mount at the same path needs it not.
func (s server) see(path string) string {
	const most = 20 // links
	root, rest, links := filepath.Join(s.dir, "root"), path, 0
	through := root
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		next := filepath.Join(through, name)
		info, err := os.Lstat(next) //nolint:gosec // a path of the application's own configuration
		if err != nil {
			return path
		}
		if info.Mode()&os.ModeSymlink == 0 {
			through = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > most {
			return path
		}
		if filepath.IsAbs(target) { // which the kernel would take for one of this process's own root
			through = root
		}
		rest = target + "/" + rest
	}
	return through
}

// read reads a file of the process, up to a bound.
func (s server) read(path string) ([]byte, error) {
	const most = 4 << 20
	for _, at := range []string{path, s.see(path)} {
		info, err := os.Stat(at)
		if err != nil {
			continue
		}
		if !info.Mode().IsRegular() || info.Size() > most {
			return nil, fmt.Errorf("%s is no file of at most %d bytes", path, most)
		}
		return os.ReadFile(at) //nolint:gosec // a file of the application's configuration
	}
	return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
}

// isWatched reports whether a file is below a watched path.
func (s server) isWatched(file string) bool {
	return slices.ContainsFunc(s.watched, func(path string) bool {
		path = filepath.Clean(path)
		return file == path || strings.HasPrefix(file, strings.TrimSuffix(path, "/")+"/")
	})
}

// changed reports whether a file may differ from what the server has.
func (s server) changed(file string) bool {
	if s.change.FilesUnknown {
		return s.isWatched(file)
	}
	return slices.Contains(s.change.Files, filepath.Clean(file))
}

// differing are the files that may differ from what the server has: all watched ones where that is unknown.
func (s server) differing() []string {
	if s.change.FilesUnknown {
		return watchedFiles(s.change.State)
	}
	return s.change.Files
}

// environment is the value of one variable that the process was started with. Others are not read.
func (s server) environment(name string) string {
	text, err := os.ReadFile(filepath.Join(s.dir, "environ"))
	if err != nil {
		return ""
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
