package inject

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
)

// watchKey names what is watched besides what is live by itself.
const watchKey = annotation.Domain + "watch"

// watched is one mount that the sidecar watches.
type watched struct {
	mount corev1.VolumeMount
	// keys are the files and folders below it that count; nil for all.
	keys []string
	// asked are the files and folders that count although they say something of the pod itself, because they were named; ""
	// for all of them.
	asked []string
}

func (w watched) at() string { return absolute(w.mount.MountPath) }

// pickWatched takes what is live by itself, and what was named besides: a volume of a CSI driver, or any other mount that
// somebody else writes.
func pickWatched(p *plan) *skip {
	for _, mount := range p.live {
		p.watched = append(p.watched, watched{mount: mount, keys: configKeys(p.volume(mount.Name))})
	}
	for _, named := range p.ask.Watch {
		mount, ok := mountIn(p.target, named)
		if !ok {
			return watchedNotMounted(named, p.target.Name)
		}
		below := strings.TrimPrefix(strings.TrimPrefix(named, absolute(mount.MountPath)), "/")
		if fault := p.unwatchable(mount, below); fault != "" {
			return notWatchable(named, fault)
		}
		p.watch(mount, below)
	}
	return nil
}

// unwatchable says why nothing is watched at a path below a mount, "" if it is.
func (p *plan) unwatchable(mount corev1.VolumeMount, below string) string {
	volume := p.volume(mount.Name)
	switch {
	case volume == nil:
		return inNoVolume(mount.Name)
	case p.showsAPIToken(mount):
		return inVolumeOfToken()
	case mount.SubPathExpr != "":
		return bySubPathExpr(p.target.Name)
	case mount.SubPath != "" && isSwapped(volume):
		return bySubPath(p.target.Name)
	case onlyBarred(volume, below):
		return nothingButBarred()
	}
	return ""
}

// isSwapped reports whether the files of a volume are replaced as a whole, which what is mounted with subPath does not see.
func isSwapped(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.CSI != nil
}

// watch adds what lies below a mount, "" for all of it.
func (p *plan) watch(mount corev1.VolumeMount, below string) {
	i := slices.IndexFunc(p.watched, func(w watched) bool { return w.mount.MountPath == mount.MountPath })
	switch {
	case i < 0 && below == "":
		i = len(p.watched)
		p.watched = append(p.watched, watched{mount: mount})
	case i < 0:
		i = len(p.watched)
		p.watched = append(p.watched, watched{mount: mount, keys: []string{below}})
	case below == "":
		p.watched[i].keys = nil
	case p.watched[i].keys != nil && !covers(p.watched[i].keys, below):
		p.watched[i].keys = append(p.watched[i].keys, below)
	}
	p.watched[i].asked = append(p.watched[i].asked, below)
}

// covers reports whether a path is one of some files and folders, or lies below one; "" is the folder that all are in.
func covers(paths []string, file string) bool {
	return slices.ContainsFunc(paths, func(at string) bool { return at == "" || isBelow(file, path.Clean(at)) })
}

// watching are the flags --watch, --ignore and --trust-bundle. All of a directory counts, but for a volume in which the kubelet also renews
// tokens or shows the pod's own annotations: there it is the keys that were chosen, where they are known, and else all but
// the files of the pod itself that are not named.
func (p *plan) watching() []string {
	var all, ignored, bundles []string
	size := 0
	// A long mount path is in the flag of each file. What comes beyond the limit of checkSize is not made.
	add := func(to *[]string, flag func() string) {
		if size <= maxAdded {
			*to = append(*to, flag())
			size += len((*to)[len(*to)-1])
		}
	}
	for _, w := range p.watched {
		plain, odd := splitKeys(w.keys)
		switch {
		case len(w.keys) == 0:
			add(&all, func() string { return "--watch=" + w.at() })
		case len(plain) > 0:
			add(&all, func() string { return "--watch=" + w.at() + ":" + strings.Join(plain, ",") })
		}
		for _, key := range odd {
			add(&all, func() string { return "--watch=" + path.Join(w.at(), key) + ":" })
		}
		for _, file := range podFiles(p.volume(w.mount.Name)) {
			counts := len(w.keys) == 0 || covers(w.keys, path.Clean(file.path))
			if named := !file.barred && covers(w.asked, path.Clean(file.path)); counts && !named {
				add(&ignored, func() string { return "--ignore=" + path.Join(w.at(), file.path) })
			}
		}
		for _, file := range bundleFiles(p.volume(w.mount.Name)) {
			// One with a path that cannot be a key is watched by itself, and not below a folder.
			if _, isOdd := splitKeys([]string{file}); len(w.keys) == 0 || covers(w.keys, path.Clean(file)) && len(isOdd) == 0 {
				add(&bundles, func() string { return "--trust-bundle=" + path.Join(w.at(), file) })
			}
		}
	}
	return slices.Concat(all, ignored, bundles)
}

// bundleFiles returns the files of a volume with the anchors of ClusterTrustBundles, which the kubelet writes in any order.
func bundleFiles(v *corev1.Volume) []string {
	if v.Projected == nil {
		return nil
	}
	var files []string
	for _, s := range v.Projected.Sources {
		if s.ClusterTrustBundle != nil {
			files = append(files, s.ClusterTrustBundle.Path)
		}
	}
	return files
}

// splitKeys separates the keys that can stand in a list on the command line from those with what separates them there.
func splitKeys(keys []string) (plain, odd []string) {
	for _, key := range keys {
		if strings.ContainsAny(key, ",:") {
			odd = append(odd, key)
		} else {
			plain = append(plain, key)
		}
	}
	return plain, odd
}

// podFile is a file that says something of the pod itself.
type podFile struct {
	path string
	// barred reports whether it is never watched: a token, or all annotations of the pod, since inpod writes some
	// itself.
	barred bool
}

// podFiles returns the files of a volume that say something of the pod itself, which no application is reloaded for unless
// they are named: those of the downward API, which anybody's annotation changes, and tokens, which the kubelet renews.
// Where several sources have one path, the file is that of the last.
func podFiles(v *corev1.Volume) []podFile {
	switch {
	case v.DownwardAPI != nil:
		return downward(v.DownwardAPI.Items)
	case v.Projected == nil:
		return nil
	}
	var files []podFile
	for _, s := range v.Projected.Sources {
		ofPod, others := pathsOf(s)
		files = append(files, ofPod...)
		files = slices.DeleteFunc(files, func(file podFile) bool {
			return slices.ContainsFunc(others, func(other string) bool { return path.Clean(other) == path.Clean(file.path) })
		})
	}
	return files
}

func downward(items []corev1.DownwardAPIVolumeFile) []podFile {
	var files []podFile
	for _, item := range items {
		files = append(files, podFile{path: item.Path, barred: item.FieldRef != nil && item.FieldRef.FieldPath == "metadata.annotations"})
	}
	return files
}

// pathsOf are the paths that a source names: of files that say something of the pod itself, and of others. A source of all
// keys names none.
func pathsOf(s corev1.VolumeProjection) (ofPod []podFile, others []string) {
	items := func(all []corev1.KeyToPath) {
		for _, item := range all {
			others = append(others, item.Path)
		}
	}
	switch {
	case s.DownwardAPI != nil:
		ofPod = downward(s.DownwardAPI.Items)
	case s.ServiceAccountToken != nil:
		ofPod = append(ofPod, podFile{path: s.ServiceAccountToken.Path, barred: true})
	case s.ConfigMap != nil:
		items(s.ConfigMap.Items)
	case s.Secret != nil:
		items(s.Secret.Items)
	case s.ClusterTrustBundle != nil:
		others = append(others, s.ClusterTrustBundle.Path)
	case s.PodCertificate != nil:
		c := s.PodCertificate
		for _, file := range []string{c.CredentialBundlePath, c.KeyPath, c.CertificateChainPath} {
			if file != "" {
				others = append(others, file)
			}
		}
	}
	return ofPod, others
}

// onlyBarred reports whether nothing is below a path of a volume, "" for all of it, but files that are never watched.
func onlyBarred(v *corev1.Volume, below string) bool {
	barred := false
	for _, file := range podFiles(v) {
		switch at := path.Clean(file.path); {
		case !covers([]string{below}, at):
		case !file.barred:
			return false
		case at == below:
			return true
		default:
			barred = true
		}
	}
	if !barred || v.Projected == nil {
		return barred
	}
	for _, s := range v.Projected.Sources {
		_, others := pathsOf(s)
		isOpen := len(others) == 0 && (s.ConfigMap != nil || s.Secret != nil)
		if isOpen || slices.ContainsFunc(others, func(other string) bool { return covers([]string{below}, path.Clean(other)) }) {
			return false
		}
	}
	return true
}

// configKeys returns the files of a projected volume that are not of the pod itself, where there are both, or nil where they
// cannot be named: all keys of a source, or files that may be missing, for which the sidecar would wait. Bundles of trust
// anchors and certificates of the pod are always there: the kubelet writes an empty file for a bundle that is optional.
func configKeys(v *corev1.Volume) []string {
	if v.Projected == nil {
		return nil
	}
	var keys []string
	mixed := false
	for _, s := range v.Projected.Sources {
		named := true
		switch {
		case s.ConfigMap != nil:
			named = len(s.ConfigMap.Items) > 0 && !isOptional(s.ConfigMap.Optional)
		case s.Secret != nil:
			named = len(s.Secret.Items) > 0 && !isOptional(s.Secret.Optional)
		}
		if !named {
			return nil
		}
		ofPod, others := pathsOf(s)
		mixed = mixed || len(ofPod) > 0
		keys = append(keys, others...)
	}
	if _, odd := splitKeys(keys); !mixed || len(odd) > 0 {
		return nil
	}
	return keys
}

func isOptional(optional *bool) bool { return optional != nil && *optional }
