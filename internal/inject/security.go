package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
)

// user is who the sidecar runs as.
type user struct {
	id    *int64 // nil: the image decides
	group *int64
	// nonRoot is what holds for the application: true forbids root, nil does not care.
	nonRoot *bool
	from    string
	// capabilities are what it has besides those of every user.
	capabilities []corev1.Capability
}

func (u user) isRoot() bool { return u.id != nil && *u.id == 0 }

// mayBeRoot reports whether nothing keeps the sidecar from being root.
func (u user) mayBeRoot() bool {
	return u.isRoot() || u.id == nil && (u.nonRoot == nil || !*u.nonRoot)
}

func (u user) String() string {
	text := u.from
	if u.id != nil {
		text = fmt.Sprintf("%d, %s", *u.id, u.from)
	}
	if len(u.capabilities) > 0 {
		text += ", with " + join(u.capabilities)
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
		return rootForbidden(u.from)
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
			why = imageOfSignal(p.target.Name)
		case p.guarded():
			why = imageOfFiles(p.target.Name)
		case slices.ContainsFunc(p.ask.Paths, func(named annotation.NamedPath) bool { return named.Socket }):
			why = imageOfSocket(p.target.Name)
		}
	}
	choice := p.ask.InApplication
	switch {
	case choice != nil && !*choice && why != "":
		return applicationImageRefused(p.target.Name, why)
	case why == "" && choice != nil && *choice:
		why = imageRequested()
	}
	if p.inApp = why != ""; !p.inApp {
		why = imageSuffices
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

// guarded reports whether there are watched files which only their owner can read. The kubelet opens them to fsGroup,
// which all containers have.
func (p *plan) guarded() bool {
	const everybody = 0o004
	if c := p.spec.SecurityContext; c != nil && c.FSGroup != nil {
		return false
	}
	for _, w := range p.watched {
		for _, mode := range modes(p.volume(w.mount.Name)) {
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

// pickCapabilities gives a sidecar that is root, or may be, what its task takes; to another user they would be of no use
// (Kubernetes has no ambient capabilities). All of them are in Pod Security "baseline", and a pod that passes
// "restricted" has runAsNonRoot, so that none is added there.
//
// For a signal it is KILL: an application that starts as root may go on as another user, whom root without KILL cannot
// signal. Commands and validators get what root usually has in their container, and nothing that the application itself
// does not have: nginx -t makes folders and gives them to another user, and fails where it may not.
//
// Where they are refused, the sidecar does without. A signal still reaches a process of the same user, and one that does not
// is reported as failed. A validator would reject good content for want of rights, so that there is no sidecar at all.
func pickCapabilities(p *plan) *skip {
	if !p.user.mayBeRoot() {
		return nil
	}
	var needed []corev1.Capability
	if p.inApp && p.trigger.image != "" {
		for _, c := range []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"} {
			if hasCapability(p.target.SecurityContext, c) {
				needed = append(needed, c)
			}
		}
	}
	if p.trigger.signal && !slices.Contains(needed, "KILL") {
		needed = append(needed, "KILL")
	}
	if cmp.Or(p.ask.Capabilities, p.options.Capabilities) != annotation.NoCapabilities {
		p.user.capabilities = needed
		return nil
	}
	switch {
	case len(needed) == 0:
	case p.inApp && p.trigger.validates:
		return capabilitiesRefused(p.target.Name, join(needed))
	case p.trigger.signal:
		p.notes = append(p.notes, withoutKill)
	default:
		p.notes = append(p.notes, withoutRootsMore)
	}
	return nil
}

func join(capabilities []corev1.Capability) string {
	names := make([]string, 0, len(capabilities))
	for _, c := range capabilities {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// hasCapability reports whether root in a container has one of the capabilities that container runtimes give by
// default.
func hasCapability(c *corev1.SecurityContext, capability corev1.Capability) bool {
	if c == nil || c.Capabilities == nil {
		return true
	}
	has := func(list []corev1.Capability) bool {
		return slices.ContainsFunc(list, func(named corev1.Capability) bool {
			name := strings.TrimPrefix(strings.ToUpper(string(named)), "CAP_")
			return name == "ALL" || name == string(capability)
		})
	}
	return has(c.Capabilities.Add) || !has(c.Capabilities.Drop)
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
	c.Capabilities.Add = p.user.capabilities
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
