//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// With a webhook nothing is rolled: the address gets what is to be rolled, again and again until it takes it, and then
// never again. Others do not wait for that.
func TestAWebhookIsCalledInsteadOfRolling(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	receiver := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "receiver", Labels: map[string]string{"app": "receiver"}},
		Spec:       deployment("receiver").pod(),
	}
	receiver.Spec.Containers[0].Args = []string{"serve"}
	s.apply(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "receiver"}, Spec: corev1.ServiceSpec{
			Selector: receiver.Labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: fromInt(8080)}},
		}},
		configMap("config", "key", "planted-value-1"),
		deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true").object(),
		deployment("silent", env("KEY", ofConfigMap("config"), "key")).idle().object(),
	)
	s.install(framework.Values{"webhookUrl": fmt.Sprintf("http://receiver.%s.svc/hook", s.ns)}, nil)
	app := framework.Deployment(s.ns, "app")
	s.hasBaseline(app)
	before := s.rollouts()

	s.apply(configMap("config", "key", "planted-value-2"))
	_, err := s.AwaitEvent(s.ctx, app, "ReloadFail", "Calling the webhook failed and will be retried")
	s.must(err)
	s.create(receiver)
	_, err = s.AwaitEvent(s.ctx, app, "WebhookCalled", "Webhook called: ConfigMap config changed (key)")
	s.must(err)

	s.apply(configMap("config", "key", "planted-value-3"))
	var calls []string
	s.eventually("two calls", func() (string, bool) {
		body, err := s.Get(s.ctx, s.ns, "receiver", "8080", "/hook")
		s.must(err)
		calls = strings.Split(strings.TrimSpace(string(body)), "\n")
		return string(body), len(calls) >= 2
	})
	if len(calls) != 2 {
		t.Errorf("%d calls for two changes", len(calls))
	}
	for _, call := range calls {
		var got struct {
			Kind, Namespace, Name, Reason string
			Sources                       []string
		}
		s.must(json.Unmarshal([]byte(call), &got))
		if got.Kind != "Deployment" || got.Namespace != s.ns || got.Name != "app" || got.Reason != "FrozenChanged" || len(got.Sources) != 1 {
			t.Errorf("the call says %+v", got)
		}
		if strings.Contains(call, "planted-value") {
			t.Errorf("the call has the content: %s", call)
		}
	}
	if after := s.rollouts(); after[app] != before[app] || after[framework.Deployment(s.ns, "silent")] != 0 {
		t.Errorf("rollouts: %v, before %v", after, before)
	}
}
