package tests

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// crdTypes are the kinds that the chart can render and client-go does not know, by apiVersion and kind. Their types
// have the fields that the chart uses and no others: what is not here is an unknown field, and thus an error.
func crdTypes() map[string]Object {
	const (
		prometheus  = "monitoring.coreos.com/v1 "
		certManager = "cert-manager.io/v1 "
		autoscaling = "autoscaling.k8s.io/v1 "
	)
	return map[string]Object{
		prometheus + "ServiceMonitor": &ServiceMonitor{},
		prometheus + "PodMonitor":     &PodMonitor{},
		certManager + "Issuer":        &Issuer{},
		certManager + "Certificate":   &Certificate{},

		autoscaling + "VerticalPodAutoscaler": &VerticalPodAutoscaler{},
	}
}

// Scrape is what the two monitors of the Prometheus operator share.
// https://prometheus-operator.dev/docs/api-reference/api/
type Scrape struct {
	Port              string       `json:"port"`
	Path              string       `json:"path"`
	Scheme            string       `json:"scheme,omitempty"`
	HonorLabels       bool         `json:"honorLabels,omitempty"`
	Interval          string       `json:"interval,omitempty"`
	ScrapeTimeout     string       `json:"scrapeTimeout,omitempty"`
	Relabelings       []Relabeling `json:"relabelings,omitempty"`
	MetricRelabelings []Relabeling `json:"metricRelabelings,omitempty"`
}

// Relabeling changes labels before or after a scrape.
type Relabeling struct {
	SourceLabels []string `json:"sourceLabels,omitempty"`
	Separator    string   `json:"separator,omitempty"`
	TargetLabel  string   `json:"targetLabel,omitempty"`
	Regex        string   `json:"regex,omitempty"`
	Modulus      uint64   `json:"modulus,omitempty"`
	Replacement  string   `json:"replacement,omitempty"`
	Action       string   `json:"action,omitempty"`
}

// Selected is how a monitor finds what to scrape.
type Selected struct {
	Selector          metav1.LabelSelector `json:"selector"`
	NamespaceSelector struct {
		MatchNames []string `json:"matchNames"`
	} `json:"namespaceSelector"`
}

// ServiceMonitor scrapes the endpoints of a Service.
type ServiceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Selected  `json:",inline"`
		Endpoints []Scrape `json:"endpoints"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object]; nothing here is modified.
func (m *ServiceMonitor) DeepCopyObject() runtime.Object { return m }

// PodMonitor scrapes pods.
type PodMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Selected            `json:",inline"`
		PodMetricsEndpoints []Scrape `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object]; nothing here is modified.
func (m *PodMonitor) DeepCopyObject() runtime.Object { return m }

// Issuer is one of cert-manager.
// https://cert-manager.io/docs/reference/api-docs/
type Issuer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		SelfSigned *struct{} `json:"selfSigned,omitempty"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object]; nothing here is modified.
func (i *Issuer) DeepCopyObject() runtime.Object { return i }

// Certificate asks cert-manager for one.
type Certificate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		SecretName  string `json:"secretName"`
		Duration    string `json:"duration,omitempty"`
		RenewBefore string `json:"renewBefore,omitempty"`
		PrivateKey  struct {
			Algorithm      string `json:"algorithm,omitempty"`
			Size           int    `json:"size,omitempty"`
			RotationPolicy string `json:"rotationPolicy,omitempty"`
		} `json:"privateKey"`
		Usages    []string `json:"usages,omitempty"`
		DNSNames  []string `json:"dnsNames"`
		IssuerRef struct {
			Name  string `json:"name"`
			Kind  string `json:"kind,omitempty"`
			Group string `json:"group,omitempty"`
		} `json:"issuerRef"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object]; nothing here is modified.
func (c *Certificate) DeepCopyObject() runtime.Object { return c }

// VerticalPodAutoscaler sets what pods request.
// https://github.com/kubernetes/autoscaler/blob/master/vertical-pod-autoscaler/docs/api.md
type VerticalPodAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		TargetRef    autoscalingv1.CrossVersionObjectReference `json:"targetRef"`
		Recommenders []struct {
			Name string `json:"name"`
		} `json:"recommenders,omitempty"`
		UpdatePolicy struct {
			UpdateMode  string `json:"updateMode"`
			MinReplicas int32  `json:"minReplicas,omitempty"`
		} `json:"updatePolicy"`
		ResourcePolicy struct {
			ContainerPolicies []struct {
				ContainerName       string                `json:"containerName"`
				ControlledValues    string                `json:"controlledValues,omitempty"`
				ControlledResources []corev1.ResourceName `json:"controlledResources,omitempty"`
				MinAllowed          corev1.ResourceList   `json:"minAllowed,omitempty"`
				MaxAllowed          corev1.ResourceList   `json:"maxAllowed,omitempty"`
			} `json:"containerPolicies"`
		} `json:"resourcePolicy"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object]; nothing here is modified.
func (v *VerticalPodAutoscaler) DeepCopyObject() runtime.Object { return v }
