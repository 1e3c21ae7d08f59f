package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/version"
)

// metaInfoRetry is how long to wait after an attempt to write the ConfigMap about this program that failed.
const metaInfoRetry = time.Minute

// metaInfo says which build runs with which settings.
func metaInfo(c config.Config, build version.Build) reloader.MetaInfo {
	list := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(text, ",")
	}
	namespace, deployment := c.Pod.Place()
	webhook := ""
	if c.Webhook.URL != "" {
		webhook = "set, and not shown: it is a password"
	}
	return reloader.MetaInfo{
		Build: reloader.BuildInfo{
			GoVersion: build.GoVersion, ReleaseVersion: build.Version, CommitHash: build.Revision, CommitTime: time.Time{}.Format(time.RFC3339), Edition: "inpod",
		},
		Options: reloader.Options{
			AutoReloadAll:                     c.Reload.AutoAll,
			ConfigMapUpdateOnChangeAnnotation: c.Keys.ConfigMap,
			SecretUpdateOnChangeAnnotation:    c.Keys.Secret,
			ReloaderAutoAnnotation:            c.Keys.Auto,
			IgnoreResourceAnnotation:          c.Keys.Ignore,
			ConfigMapReloaderAutoAnnotation:   c.Keys.ConfigMapAuto,
			SecretReloaderAutoAnnotation:      c.Keys.SecretAuto,
			AutoSearchAnnotation:              c.Keys.Search,
			SearchMatchAnnotation:             c.Keys.Match,
			PauseDeploymentAnnotation:         c.Keys.PausePeriod,
			PauseDeploymentTimeAnnotation:     c.Keys.PausedAt,
			LogFormat:                         string(c.Log.Format),
			LogLevel:                          c.Log.Level.String(),
			IsArgoRollouts:                    c.Kinds.Rollout,
			ReloadStrategy:                    string(c.Reload.Strategy),
			ReloadOnCreate:                    c.Reload.OnCreate,
			ReloadOnDelete:                    c.Reload.OnDelete,
			SyncAfterRestart:                  c.Reload.SyncAfterRestart,
			EnableHA:                          c.Election.Enabled,
			LeaderElectionLeaseDuration:       c.Election.LeaseDuration.String(),
			LeaderElectionRenewDeadline:       c.Election.RenewDeadline.String(),
			LeaderElectionRetryPeriod:         c.Election.RetryPeriod.String(),
			WebhookURL:                        webhook,
			ResourcesToIgnore:                 c.Scope.IgnoredSources,
			WorkloadTypesToIgnore:             c.Kinds.Ignored,
			NamespaceSelectors:                list(c.Scope.NamespaceSelector),
			ResourceSelectors:                 list(c.Scope.SourceSelector),
			NamespacesToIgnore:                c.Scope.IgnoredNamespaces,
			EnablePProf:                       c.Pprof.Enabled,
			PProfAddr:                         c.Pprof.Address,
		},
		Deployment: reloader.DeploymentInfo{Name: deployment, Namespace: namespace},
	}
}

// publish writes the ConfigMap about this program, and tries again until it is written or ctx ends. Nothing waits for it.
func publish(ctx context.Context, client typedcorev1.ConfigMapsGetter, info reloader.MetaInfo, log *slog.Logger) {
	reported := ""
	_ = wait.PollUntilContextCancel(ctx, metaInfoRetry, true, func(ctx context.Context) (bool, error) {
		err := reloader.Publish(ctx, client, info)
		if err != nil && ctx.Err() == nil && err.Error() != reported {
			reported = err.Error()
			log.Warn("writing the meta information failed, will retry", "configMap", reloader.MetaInfoName, "error", err)
		}
		return err == nil, nil
	})
}
