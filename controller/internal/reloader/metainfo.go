package reloader

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// MetaInfoName is the name of the ConfigMap from which tools learn which Reloader runs here.
const MetaInfoName = "reloader-meta-info"

// metaInfoLabel and its value are what such tools look for.
const (
	metaInfoLabel = "reloader.stakater.com/meta-info"
	metaInfoValue = "reloader"
	fieldManager  = "inpod-meta-info"
)

// MetaInfo is what the ConfigMap says, in the form of Reloader's pkg/common/metainfo.go.
type MetaInfo struct {
	Build      BuildInfo
	Options    Options
	Deployment DeploymentInfo
}

// BuildInfo is the build of the program.
type BuildInfo struct {
	GoVersion      string `json:"goVersion"`
	ReleaseVersion string `json:"releaseVersion"`
	CommitHash     string `json:"commitHash"`
	CommitTime     string `json:"commitTime"` // RFC 3339; readers parse it into a time, which "" is not
	Edition        string `json:"edition"`
}

// DeploymentInfo is where the program runs.
type DeploymentInfo struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Options are the settings that Reloader has, under the keys of its options, as far as inpod has them.
type Options struct {
	AutoReloadAll                     bool     `json:"autoReloadAll"`
	ConfigMapUpdateOnChangeAnnotation string   `json:"configmapUpdateOnChangeAnnotation"`
	SecretUpdateOnChangeAnnotation    string   `json:"secretUpdateOnChangeAnnotation"`
	ReloaderAutoAnnotation            string   `json:"reloaderAutoAnnotation"`
	IgnoreResourceAnnotation          string   `json:"ignoreResourceAnnotation"`
	ConfigMapReloaderAutoAnnotation   string   `json:"configmapReloaderAutoAnnotation"`
	SecretReloaderAutoAnnotation      string   `json:"secretReloaderAutoAnnotation"`
	AutoSearchAnnotation              string   `json:"autoSearchAnnotation"`
	SearchMatchAnnotation             string   `json:"searchMatchAnnotation"`
	PauseDeploymentAnnotation         string   `json:"pauseDeploymentAnnotation"`
	PauseDeploymentTimeAnnotation     string   `json:"pauseDeploymentTimeAnnotation"`
	LogFormat                         string   `json:"logFormat"`
	LogLevel                          string   `json:"logLevel"`
	IsArgoRollouts                    bool     `json:"isArgoRollouts"`
	ReloadStrategy                    string   `json:"reloadStrategy"`
	ReloadOnCreate                    bool     `json:"reloadOnCreate"`
	ReloadOnDelete                    bool     `json:"reloadOnDelete"`
	SyncAfterRestart                  bool     `json:"syncAfterRestart"`
	EnableHA                          bool     `json:"enableHA"`
	LeaderElectionLeaseDuration       string   `json:"leaderElectionLeaseDuration"`
	LeaderElectionRenewDeadline       string   `json:"leaderElectionRenewDeadline"`
	LeaderElectionRetryPeriod         string   `json:"leaderElectionRetryPeriod"`
	WebhookURL                        string   `json:"webhookUrl"`
	ResourcesToIgnore                 []string `json:"resourcesToIgnore"`
	WorkloadTypesToIgnore             []string `json:"workloadTypesToIgnore"`
	NamespaceSelectors                []string `json:"namespaceSelectors"`
	ResourceSelectors                 []string `json:"resourceSelectors"`
	NamespacesToIgnore                []string `json:"namespacesToIgnore"`
	EnablePProf                       bool     `json:"enablePProf"`
	PProfAddr                         string   `json:"pprofAddr"`
}

// ConfigMap is the object that says it.
func (m MetaInfo) ConfigMap() (*corev1.ConfigMap, error) {
	data := map[string]string{}
	for key, value := range map[string]any{"buildInfo": m.Build, "reloaderOptions": m.Options, "deploymentInfo": m.Deployment} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s of ConfigMap %s: %w", key, MetaInfoName, err)
		}
		data[key] = string(text)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: MetaInfoName, Namespace: m.Deployment.Namespace, Labels: map[string]string{metaInfoLabel: metaInfoValue}},
		Data:       data,
	}, nil
}

// Publish writes the ConfigMap unless it says this already. Other labels and annotations of it are left alone.
func Publish(ctx context.Context, client typedcorev1.ConfigMapsGetter, m MetaInfo) error {
	want, err := m.ConfigMap()
	if err != nil {
		return err
	}
	configMaps := client.ConfigMaps(want.Namespace)
	found, err := configMaps.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = configMaps.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldManager})
	case err == nil && (!maps.Equal(found.Data, want.Data) || found.Labels[metaInfoLabel] != metaInfoValue):
		changed := found.DeepCopy()
		changed.Data = want.Data
		if changed.Labels == nil {
			changed.Labels = map[string]string{}
		}
		changed.Labels[metaInfoLabel] = metaInfoValue
		_, err = configMaps.Update(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}
