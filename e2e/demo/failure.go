//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// failure is something that should have happened and did not.
type failure struct {
	expected, saw string
	// look are commands that show more.
	look []string
}

func (f *failure) Error() string { return "expected " + f.expected + ", saw " + f.saw }

// report tells a failure to the reader; any other error is one as well, with less to say.
func (s *stage) report(ctx context.Context, title string, err error) {
	v := s.voice
	f, planned := errors.AsType[*failure](err)
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		v.Failed("%s: interrupted", title)
		return
	case !planned:
		f = &failure{saw: err.Error()}
	}
	v.Failed("%s", title)
	if f.expected != "" {
		v.Detail("expected", f.expected)
	}
	v.Detail("saw", f.saw)
	look := slices.Concat(f.look, []string{controllerLogs()})
	if onLocalCluster(s.cluster.Env) {
		look = append(look, "make cluster-shell (a shell in which kubectl works)")
	}
	v.Detail("look at", strings.Join(look, "\n"))
}

func controllerLogs() string {
	return fmt.Sprintf("kubectl -n %s logs deployment/%s", release().Namespace, release().Controller().Name)
}

func eventsOf(deployment string) string {
	return fmt.Sprintf("kubectl -n %s events --for deployment/%s", namespace, deployment)
}

func podsOf(deployment string) string {
	return fmt.Sprintf("kubectl -n %s describe pods -l app=%s", namespace, deployment)
}
