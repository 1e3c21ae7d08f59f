package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/access"
	"inpod.dev/inpod/internal/workload"
)

// rightsPoll is how often to ask whether there are rights in a namespace that is left out.
const rightsPoll = 20 * time.Second

// lackingNamespace is a namespace that is to be watched, without the rights for it.
type lackingNamespace struct {
	name string
	why  error
}

// lacking says which of several namespaces are to be left out because of a denial: those whose own rights are missing. Where
// nothing would be left, or something else is missing, the denial is returned.
func lacking(c config.Config, kinds workload.Table, err error) ([]lackingNamespace, error) {
	denied := (*access.DeniedError)(nil)
	if !errors.As(err, &denied) {
		return nil, err
	}
	watched, _ := c.Watched()
	var without []lackingNamespace
	explained := 0
	for _, namespace := range watched {
		needed := watching(c, kinds, namespace)
		why := &access.DeniedError{User: denied.User}
		for _, missing := range denied.Missing {
			if slices.Contains(needed, missing) {
				why.Missing = append(why.Missing, missing)
			}
		}
		if explained += len(why.Missing); len(why.Missing) > 0 {
			without = append(without, lackingNamespace{namespace, why})
		}
	}
	if len(without) == len(watched) || explained < len(denied.Missing) {
		return nil, err
	}
	return without, nil
}

// lacks tells whether a namespace is left out.
func (p *parts) lacks(namespace string) bool {
	return slices.ContainsFunc(p.lacking, func(l lackingNamespace) bool { return l.name == namespace })
}

// include follows a namespace that was left out, from the moment at which there are rights in it until ctx ends.
func (p *parts) include(ctx context.Context, namespace string, needed []access.Requirement, log *slog.Logger) error {
	err := wait.PollUntilContextCancel(ctx, rightsPoll, false, func(ctx context.Context) (bool, error) {
		missing, err := access.Missing(ctx, p.connection.Client, needed)
		return err == nil && len(missing) == 0, nil
	})
	if err != nil {
		return nil //nolint:nilerr // it was asked to stop
	}
	log.Info("there are rights in a namespace that was left out", "namespace", namespace)
	return p.observer.Include(ctx, namespace)
}
