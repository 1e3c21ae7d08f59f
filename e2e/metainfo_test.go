//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// Tools find an installation by the label of this ConfigMap, and read its settings from it.
func TestTheMetaInformationIsWritten(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"metaInfo": true, "reloadOnCreate": true}, framework.Values{"replicas": 2})
	var options struct {
		ReloadOnCreate bool   `json:"reloadOnCreate"`
		Auto           string `json:"reloaderAutoAnnotation"`
	}
	s.eventually("the ConfigMap is there", func() (string, bool) {
		found, err := s.Client.CoreV1().ConfigMaps("").List(s.ctx, metav1.ListOptions{
			LabelSelector: "reloader.stakater.com/meta-info=reloader", FieldSelector: "metadata.namespace=" + s.Release.Namespace,
		})
		s.must(err)
		if len(found.Items) != 1 {
			return fmt.Sprintf("%d ConfigMaps have the label", len(found.Items)), false
		}
		s.must(json.Unmarshal([]byte(found.Items[0].Data["reloaderOptions"]), &options))
		return "", true
	})
	if !options.ReloadOnCreate || options.Auto != s.keys.config()["autoAnnotation"] {
		t.Errorf("the options are %+v", options)
	}
}
