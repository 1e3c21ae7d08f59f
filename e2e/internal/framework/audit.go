//go:build e2e

package framework

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Call is one request as the API server saw it.
type Call struct {
	User                                string
	Verb, Resource, Subresource, Object string
	Namespace                           string
}

func (c Call) String() string {
	resource := strings.TrimSuffix(c.Resource+"/"+c.Subresource, "/")
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Verb, resource, c.Object))
}

// AuditLog is the record of all requests that the local cluster keeps.
type AuditLog struct {
	file string
	from int64
}

// Audit begins to read the audit log at its present end. ok is false on a cluster that is not the local one, or whose
// log cannot be read by this user.
func (c *Cluster) Audit(ctx context.Context) (log AuditLog, ok bool) {
	root, err := Checkout()
	if err != nil || !c.Env.Local() {
		return AuditLog{}, false
	}
	// It prints the log of each component; the audit log lies beside them.
	out, err := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(root, "e2e", "cluster"), ".", "logs").Output()
	if err != nil {
		return AuditLog{}, false
	}
	first, _, _ := strings.Cut(string(out), "\n")
	log.file = filepath.Join(filepath.Dir(first), "audit.log")
	info, err := os.Stat(log.file)
	if err != nil {
		return AuditLog{}, false
	}
	log.from = info.Size()
	return log, true
}

// Calls returns the requests of a user since [Cluster.Audit].
func (l AuditLog) Calls(user string) ([]Call, error) {
	file, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(l.from, io.SeekStart); err != nil {
		return nil, err
	}
	var calls []Call
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return calls, nil // what has no end of line yet is for the next time
		}
		if err != nil {
			return nil, err
		}
		var entry struct {
			Verb      string
			Stage     string
			User      struct{ Username string }
			ObjectRef struct{ Resource, Subresource, Namespace, Name string }
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("%s: %w", l.file, err)
		}
		// A request that takes long has a line when its answer begins, too.
		if entry.User.Username == user && entry.Stage == "ResponseComplete" {
			calls = append(calls, Call{
				User: user, Verb: entry.Verb, Resource: entry.ObjectRef.Resource, Subresource: entry.ObjectRef.Subresource,
				Object: entry.ObjectRef.Name, Namespace: entry.ObjectRef.Namespace,
			})
		}
	}
}
