package kubelog_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/telemetry/kubelog"
)

// The value of a Secret passes through client-go on the way in and out; at no level may it reach the log.
func TestMostTalkativeLogHasNoBodies(t *testing.T) {
	var log lines
	kubelog.Join(logging.NewLogger(&log, logging.FormatText, logging.LevelTrace))
	t.Cleanup(klog.ClearLogger)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"password":"cGxhbnRlZA=="}}`))
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"password": "planted"}}
	if _, err := client.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	klog.Background().V(6).Info("marker of verbosity 6")
	klog.Background().V(8).Info("marker of verbosity 8")

	got := log.String()
	if strings.Contains(got, "planted") || strings.Contains(got, "cGxhbnRlZA") || strings.Contains(got, "verbosity 8") {
		t.Errorf("the log shows too much:\n%s", got)
	}
	if !strings.Contains(got, "level=TRACE") || !strings.Contains(got, "marker of verbosity 6") {
		t.Errorf("client-go's lines are missing:\n%s", got)
	}
}

func TestSilence(t *testing.T) {
	var log lines
	kubelog.Join(logging.NewLogger(&log, logging.FormatText, logging.LevelTrace))
	t.Cleanup(klog.ClearLogger)
	klog.FromContext(kubelog.Silence(t.Context())).Error(nil, "hidden")
	if got := log.String(); got != "" {
		t.Errorf("log is %q", got)
	}
}

// lines is a buffer for several goroutines.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
