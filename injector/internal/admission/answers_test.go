package admission_test

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"inpod.dev/inpod/injector/internal/admission"
)

// Whoever may write an object decides how large it is; only so much of it is read.
func TestLongAnswersAreNotRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size int
		want string
	}{
		"an ordinary one": {400 << 10, ""},
		"a long one":      {600 << 10, "more than 524288 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &slowAPI{answer: func(*http.Request) any {
				return corev1.Namespace{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
					ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{"a": strings.Repeat("x", tc.size)}},
				}
			}}
			client, err := admission.NewClient(&rest.Config{Host: "http://api", Transport: api})
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
			switch {
			case tc.want == "" && (err != nil || len(got.Annotations["a"]) != tc.size):
				t.Errorf("%d bytes, %v", len(got.Annotations["a"]), err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v", err)
			}
		})
	}
}
