package workload

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Owns reports whether a reference to an owner is to one of this kind, of whichever version.
func (k Kind) Owns(owner *metav1.OwnerReference) bool {
	group, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && owner.Kind == k.APIKind() && group.Group == k.Resource.Group
}

// OwnerOf returns the workload of a pod, without a name if it is of no kind of the table. Kinds that own pods through a
// ReplicaSet name that after themselves and a label of its pods. The ReplicationController of a DeploymentConfig has the
// number of the revision at the end of its name, and its pods have the name of the DeploymentConfig in a label
// (openshift/api, apps/v1/consts.go DeploymentConfigLabel).
func (t Table) OwnerOf(pod *corev1.Pod) Key {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return Key{}
	}
	for _, kind := range t {
		key := Key{Kind: kind.Name, Namespace: pod.Namespace, Name: owner.Name}
		if kind.Owns(owner) {
			return key
		}
		switch hash := pod.Labels[kind.HashLabel]; {
		case owner.Kind == "ReplicaSet" && kind.HashLabel != "" && hash != "":
			if name, cut := strings.CutSuffix(owner.Name, "-"+hash); cut {
				key.Name = name
				return key
			}
		case owner.Kind == "ReplicationController" && kind.Name == "DeploymentConfig":
			if name := pod.Labels["deploymentconfig"]; name != "" && strings.HasPrefix(owner.Name, name+"-") {
				key.Name = name
				return key
			}
		}
	}
	return Key{}
}
