package inject

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
)

// Check reports what of the invariants a change would break, nil for nothing. A pod that breaks them is refused by the API
// server, by Pod Security or by the kubelet, or shows the sidecar what it must not see. It looks at what is added and at
// names, so that its cost does not grow with what the containers of the pod hold.
//
//	names        of containers and volumes are unique in the pod
//	mount paths  are unique in a container, absolute, and their volumes exist
//	folders      what an added container mounts inside another mount has a folder there, or the runtime can make one
//	token        nothing that is added mounts the pod's token for the API server
//	privilege    nothing that is added is privileged, may gain privileges, or has capabilities without dropping all first
//	resources    no request is larger than its limit
//	annotations  are not larger together than Kubernetes takes
func Check(pod *corev1.Pod, c Change) error {
	volumes := map[string]*corev1.Volume{}
	for i := range pod.Spec.Volumes {
		volumes[pod.Spec.Volumes[i].Name] = &pod.Spec.Volumes[i]
	}
	for i := range c.Volumes {
		if volumes[c.Volumes[i].Name] != nil {
			return fmt.Errorf("a second volume would be named %s", c.Volumes[i].Name)
		}
		volumes[c.Volumes[i].Name] = &c.Volumes[i]
	}
	names := map[string]bool{}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			names[list[i].Name] = true
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		names[pod.Spec.EphemeralContainers[i].Name] = true
	}
	for _, list := range [][]corev1.Container{c.InitContainers, c.Containers} {
		for i := range list {
			if names[list[i].Name] {
				return fmt.Errorf("a second container would be named %s", list[i].Name)
			}
			names[list[i].Name] = true
			if err := cmp.Or(checkContainer(&list[i], volumes), checkFolders(pod, &list[i], volumes)); err != nil {
				return fmt.Errorf("container %s: %w", list[i].Name, err)
			}
		}
	}
	return checkAnnotations(pod.Annotations, c.Annotations)
}

// checkAnnotations holds the limit of ValidateAnnotationsSize (k8s.io/apimachinery/pkg/api/validation/objectmeta.go).
func checkAnnotations(before, added map[string]string) error {
	size := sizeOf(added)
	for key, value := range before {
		if _, replaced := added[key]; !replaced {
			size += len(key) + len(value)
		}
	}
	if len(added) > 0 && size > validation.TotalAnnotationSizeLimitB {
		return fmt.Errorf("its annotations would have %d bytes, and %d are allowed", size, validation.TotalAnnotationSizeLimitB)
	}
	return nil
}

func checkContainer(c *corev1.Container, volumes map[string]*corev1.Volume) error {
	paths := map[string]bool{}
	for _, mount := range c.VolumeMounts {
		at, volume := absolute(mount.MountPath), volumes[mount.Name]
		switch {
		case volume == nil:
			return fmt.Errorf("it would mount volume %s, which does not exist", mount.Name)
		case paths[at]:
			return fmt.Errorf("it would mount two volumes at %s", at)
		case holdsAPIToken(volume) && isOnlyToken(volume):
			return fmt.Errorf("it would see the token for the API server at %s", at)
		}
		paths[at] = true
	}
	for name, request := range c.Resources.Requests {
		if limit, ok := c.Resources.Limits[name]; ok && request.Cmp(limit) > 0 {
			return fmt.Errorf("it would request more %s than its limit", name)
		}
	}
	return checkPrivilege(c.SecurityContext)
}

func checkPrivilege(s *corev1.SecurityContext) error {
	switch {
	case s == nil:
		return errors.New("it would have no security context")
	case s.Privileged != nil && *s.Privileged:
		return errors.New("it would be privileged")
	case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
		return errors.New("it might gain privileges")
	case s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL":
		return errors.New("it would keep capabilities")
	}
	return nil
}

// holdsAPIToken reports whether a volume shows a token that the API server accepts: one for no audience in particular, or
// the volume that the API server itself adds for its token.
func holdsAPIToken(v *corev1.Volume) bool {
	if v.Projected == nil {
		return false
	}
	for _, s := range v.Projected.Sources {
		if t := s.ServiceAccountToken; t != nil && t.Audience == "" {
			return true
		}
	}
	return false
}

// isOnlyToken reports whether a volume shows nothing of its user besides the token: the API server's own has the certificate
// authority, as a ConfigMap or as a bundle of trust anchors, and the namespace.
func isOnlyToken(v *corev1.Volume) bool {
	for _, s := range v.Projected.Sources {
		switch {
		case s.Secret != nil, s.ConfigMap != nil && s.ConfigMap.Name != "kube-root-ca.crt", s.PodCertificate != nil,
			s.ClusterTrustBundle != nil && !isOfAPIServer(s.ClusterTrustBundle):
			return false
		}
	}
	return true
}

// isOfAPIServer reports whether a bundle is of the signer of the API server's own certificates. Names of its objects begin
// with the signer's (k8s.io/kubernetes/pkg/apis/certificates/validation).
func isOfAPIServer(b *corev1.ClusterTrustBundleProjection) bool {
	const signer = "kubernetes.io/kube-apiserver-serving"
	return b.SignerName != nil && *b.SignerName == signer ||
		b.Name != nil && strings.HasPrefix(*b.Name, strings.ReplaceAll(signer, "/", ":")+":")
}
