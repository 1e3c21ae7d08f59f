package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
)

// user is who the sidecar runs as.
type user struct {
	id    *int64 // nil: the image decides
	group *int64
	// nonRoot is what holds for the application: true forbids root, nil does not care.
	nonRoot *bool
	kill    bool // has the capability KILL
	from    string
}

func (u user) isRoot() bool { return u.id != nil && *u.id == 0 }

// mayBeRoot tells that nothing keeps the sidecar from being root.
func (u user) mayBeRoot() bool {
	return u.isRoot() || u.id == nil && (u.nonRoot == nil || !*u.nonRoot)
}

func (u user) String() string {
	text := u.from
	if u.id != nil {
		text = fmt.Sprintf("%d, %s", *u.id, u.from)
	}
	if u.kill {
		text += ", with the capability KILL"
	}
	return text
}

// pickUser copies the user of the application: whoever has its user may signal it and read what it reads, and needs no
// privilege for that. It also spreads the inotify instances of a node, which are counted per user.
func pickUser(p *plan) *skip {
	own, pod := p.target.SecurityContext, p.spec.SecurityContext
	if own == nil {
		own = &corev1.SecurityContext{}
	}
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	u := user{
		id: firstOf(own.RunAsUser, pod.RunAsUser), group: firstOf(own.RunAsGroup, pod.RunAsGroup),
		nonRoot: firstOf(own.RunAsNonRoot, pod.RunAsNonRoot),
		from:    "as container " + p.target.Name,
	}
	if p.ask.RunAsUser != nil {
		u.id, u.from = p.ask.RunAsUser, "as "+annotation.Domain+"sidecar-run-as-user says"
	}
	if u.isRoot() && u.nonRoot != nil && *u.nonRoot {
		return because(RootForbidden, "the sidecar would run as root, %s, and the pod has runAsNonRoot: true", u.from)
	}
	p.user = u
	return nil
}

func firstOf[T any](values ...*T) *T {
	for _, value := range values {
		if value != nil {
			return value
		}
	}
	return nil
}

// pickImage takes the application's image only where it has to: for programs that are in it, and for the user that it
// sets.
func pickImage(p *plan) *skip {
	why := p.trigger.image
	if why == "" && p.user.id == nil {
		switch {
		case p.trigger.signal:
			why = "it decides the user of container " + p.target.Name + ", and a signal needs the same"
		case p.guarded():
			why = "it decides the user of container " + p.target.Name + ", and the files are not for everybody"
		case slices.ContainsFunc(p.ask.Paths, func(named annotation.NamedPath) bool { return named.Socket }):
			why = "it decides the user of container " + p.target.Name + ", and a socket is its user's"
		}
	}
	choice := p.ask.InApplication
	switch {
	case choice != nil && !*choice && why != "":
		return because(ApplicationImageRefused, "the sidecar needs the image of container %s, because %s, and the pod has %sapplication-image: false; "+
			"for a signal alone %[3]ssidecar-run-as-user helps", p.target.Name, why, annotation.Domain)
	case why == "" && choice != nil && *choice:
		why = annotation.Domain + "application-image asks for it"
	}
	if p.inApp = why != ""; !p.inApp {
		why = "it suffices"
	}
	p.why = why
	if p.user.id == nil {
		p.user.from = "as the image of container " + p.target.Name + " says"
		if !p.inApp {
			p.user.from = "as the image of inpod says"
		}
	}
	return nil
}

// guarded tells that there are live files which only their owner can read. The kubelet opens them to fsGroup, which
// all containers have.
func (p *plan) guarded() bool {
	const everybody = 0o004
	if c := p.spec.SecurityContext; c != nil && c.FSGroup != nil {
		return false
	}
	for _, mount := range p.live {
		for _, mode := range modes(p.volume(mount.Name)) {
			if mode&everybody == 0 {
				return true
			}
		}
	}
	return false
}

// modes returns the file modes that a volume says.
func modes(v *corev1.Volume) []int32 {
	var found []int32
	add := func(mode *int32, items []corev1.KeyToPath) {
		if mode != nil {
			found = append(found, *mode)
		}
		for _, item := range items {
			if item.Mode != nil {
				found = append(found, *item.Mode)
			}
		}
	}
	switch {
	case v.ConfigMap != nil:
		add(v.ConfigMap.DefaultMode, v.ConfigMap.Items)
	case v.Secret != nil:
		add(v.Secret.DefaultMode, v.Secret.Items)
	case v.Projected != nil:
		add(v.Projected.DefaultMode, nil)
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				add(nil, s.ConfigMap.Items)
			}
			if s.Secret != nil {
				add(nil, s.Secret.Items)
			}
		}
	}
	return found
}

// pickCapabilities gives KILL to a sidecar that is root or may be: an application that starts as root may go on as
// another user, whom root without KILL cannot signal. A pod that passes Pod Security "restricted" has runAsNonRoot, so
// it is never added there.
func pickCapabilities(p *plan) *skip {
	p.user.kill = p.trigger.signal && p.user.mayBeRoot()
	return nil
}

// securityContext passes Pod Security "restricted" wherever the application does. All of it is set on the container,
// since a namespace that enforces "restricted" rejects the pod for one container that lacks a line.
func (p *plan) securityContext() *corev1.SecurityContext {
	c := &corev1.SecurityContext{
		RunAsUser: p.user.id, RunAsGroup: p.user.group, RunAsNonRoot: p.user.nonRoot,
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	switch {
	case p.user.isRoot():
		c.RunAsNonRoot = new(false)
	case p.user.id != nil || !p.inApp:
		c.RunAsNonRoot = new(true)
	}
	if p.user.kill {
		c.Capabilities.Add = []corev1.Capability{"KILL"}
	}
	if own := p.target.SecurityContext; own != nil {
		// Security modules decide who may signal whom and who may read which volume: be the same to them.
		c.SELinuxOptions, c.AppArmorProfile = own.SELinuxOptions.DeepCopy(), own.AppArmorProfile.DeepCopy()
	}
	if p.inApp {
		// Validators write where the application does, such as its pid file.
		c.ReadOnlyRootFilesystem = nil
		if own := p.target.SecurityContext; own != nil {
			c.ReadOnlyRootFilesystem = own.ReadOnlyRootFilesystem
		}
	}
	return c
}
