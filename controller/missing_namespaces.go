package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/workload"
)

// permissionPoll is the time between two checks of the permissions in a namespace that is skipped.
const permissionPoll = 20 * time.Second

// missingNamespace is a namespace that the settings name and in which permissions are missing.
type missingNamespace struct {
	name string
	why  error
}

// missingNamespaces says which of several namespaces are to be left out because of a denial: those whose own rights are missing. Where
// nothing would be left, or something else is missing, the denial is returned.
func missingNamespaces(c config.Config, kinds workload.Table, err error) ([]missingNamespace, error) {
	denied := (*kube.MissingPermissionsError)(nil)
	if !errors.As(err, &denied) {
		return nil, err
	}
	watched, _ := c.Watched()
	var without []missingNamespace
	explained := 0
	for _, namespace := range watched {
		needed := watching(c, kinds, namespace)
		why := &kube.MissingPermissionsError{User: denied.User}
		for _, missing := range denied.Missing {
			if slices.Contains(needed, missing) {
				why.Missing = append(why.Missing, missing)
			}
		}
		if explained += len(why.Missing); len(why.Missing) > 0 {
			without = append(without, missingNamespace{namespace, why})
		}
	}
	if len(without) == len(watched) || explained < len(denied.Missing) {
		return nil, err
	}
	return without, nil
}

// isMissing reports whether a namespace is left out.
func (p *parts) isMissing(namespace string) bool {
	return slices.ContainsFunc(p.missing, func(l missingNamespace) bool { return l.name == namespace })
}

// include waits for the permissions in a namespace that was skipped, then watches it until ctx ends.
func (p *parts) include(ctx context.Context, namespace string, needed []kube.Requirement, log *slog.Logger) error {
	err := wait.PollUntilContextCancel(ctx, permissionPoll, false, func(ctx context.Context) (bool, error) {
		missing, err := kube.Missing(ctx, p.connection.Client, needed)
		return err == nil && len(missing) == 0, nil
	})
	if err != nil {
		return nil //nolint:nilerr // it was asked to stop
	}
	log.Info("permissions granted, watching namespace", "namespace", namespace)
	return p.observer.AddNamespace(ctx, namespace)
}
