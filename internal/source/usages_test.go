package source_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func cmRef(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: name}
}

func secRef(name string) source.Ref {
	return source.Ref{Kind: source.Secret, Namespace: obj.Namespace, Name: name}
}

func csiRef(name string) source.Ref {
	return source.Ref{Kind: source.SecretProviderClass, Namespace: obj.Namespace, Name: name}
}

func TestUsages(t *testing.T) {
	t.Parallel()
	a, b := cmRef("a"), secRef("b")
	for name, tc := range map[string]struct {
		parts []obj.Part
		want  []source.Usage
	}{
		"a template without sources uses nothing": {},
		"a volume shows every key": {
			[]obj.Part{obj.Mount(obj.CM("a")), obj.Mount(obj.Sec("b"))},
			[]source.Usage{{Ref: a, Via: source.ViaVolume, Container: "app"}, {Ref: b, Via: source.ViaVolume, Container: "app"}},
		},
		"items of a volume select keys, whatever their files are called": {
			[]obj.Part{obj.Mount(obj.CM("a").Items("z.conf:conf.d/z", "a.conf", "a.conf:again"))},
			[]source.Usage{{
				Ref: a, Via: source.ViaVolume, Container: "app",
				Keys: []string{"a.conf", "z.conf"}, Items: []string{"a.conf", "z.conf"},
			}},
		},
		"a projected volume uses each of its sources, each with its items": {
			[]obj.Part{obj.Projected(obj.CM("a").Items("k"), obj.Sec("b").Optional())},
			[]source.Usage{
				{Ref: a, Via: source.ViaProjected, Container: "app", Keys: []string{"k"}, Items: []string{"k"}},
				{Ref: b, Via: source.ViaProjected, Container: "app", Optional: true},
			},
		},
		"a subPath is the key whose file it is": {
			[]obj.Part{obj.SubPath(obj.CM("a"), "nginx.conf")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"nginx.conf"}}},
		},
		"a subPath with a slash at its end is the same": {
			[]obj.Part{obj.SubPath(obj.CM("a"), "nginx.conf/")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"nginx.conf"}}},
		},
		"a subPath of an item is the key of the item, and the others are needed all the same": {
			[]obj.Part{obj.SubPath(obj.CM("a").Items("main:etc/nginx.conf", "other:etc/other.conf"), "etc/nginx.conf")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"main"}, Items: []string{"main", "other"}}},
		},
		"a subPath of a folder is every item below it": {
			[]obj.Part{obj.SubPath(obj.CM("a").Items("x:conf.d/x", "y:conf.d/sub/y", "z:conf.dz"), "conf.d")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"x", "y"}, Items: []string{"x", "y", "z"}}},
		},
		"a subPath that no item leads to uses nothing": {
			[]obj.Part{obj.SubPath(obj.CM("a").Items("x:y"), "x")}, nil,
		},
		"the subPath . is the whole volume as it was": {
			[]obj.Part{obj.SubPath(obj.CM("a"), "."), obj.SubPath(obj.CM("a").Items("k"), "./")},
			[]source.Usage{
				{Ref: a, Via: source.ViaSubPath, Container: "app"},
				{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"k"}, Items: []string{"k"}},
			},
		},
		"the subPath ..data, which the kubelet makes, is the whole volume as it was": {
			[]obj.Part{obj.SubPath(obj.CM("a"), "..data")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app"}},
		},
		"a subPath through ..data is the key behind it": {
			[]obj.Part{obj.SubPath(obj.CM("a"), "..data/nginx.conf"), obj.SubPath(obj.CM("a").Items("main:etc/nginx.conf"), "..data/etc")},
			[]source.Usage{
				{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"nginx.conf"}},
				{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"main"}, Items: []string{"main"}},
			},
		},
		"a subPath of a projected volume may be a file of any source without items": {
			[]obj.Part{obj.ProjectedSubPath("k", obj.CM("a"), obj.Sec("b"))},
			[]source.Usage{
				{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"k"}, Shared: true},
				{Ref: b, Via: source.ViaSubPath, Container: "app", Keys: []string{"k"}, Shared: true},
			},
		},
		"a subPath of a projected volume with items is a file of the source that has it": {
			[]obj.Part{obj.ProjectedSubPath("tls/tls.key", obj.CM("a").Items("k"), obj.Sec("b").Items("tls.key:tls/tls.key"))},
			[]source.Usage{{
				Ref: b, Via: source.ViaSubPath, Container: "app", Keys: []string{"tls.key"}, Items: []string{"tls.key"}, Shared: true,
			}},
		},
		"variables in a subPathExpr are replaced where the template has their text": {
			[]obj.Part{obj.Var("ENV", "prod"), obj.Var("EXT", "conf"), obj.SubPathExpr(obj.CM("a"), "$(ENV).$(EXT)")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"prod.conf"}}},
		},
		"the last of two variables of one name counts": {
			[]obj.Part{obj.Var("ENV", "test"), obj.Var("ENV", "prod"), obj.SubPathExpr(obj.CM("a"), "$(ENV)")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"prod"}}},
		},
		"a variable that only the pod knows may lead to every key": {
			[]obj.Part{obj.FieldVar("POD", "metadata.name"), obj.SubPathExpr(obj.CM("a"), "$(POD)")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app"}},
		},
		"a later variable that only the pod knows hides an earlier text": {
			[]obj.Part{obj.Var("POD", "x"), obj.FieldVar("POD", "metadata.name"), obj.SubPathExpr(obj.CM("a"), "$(POD)")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app"}},
		},
		"a variable made of other variables may lead to every key that items select": {
			[]obj.Part{obj.Var("A", "x"), obj.Var("B", "$(A)"), obj.SubPathExpr(obj.CM("a").Items("k", "l"), "$(B)")},
			[]source.Usage{{Ref: a, Via: source.ViaSubPath, Container: "app", Keys: []string{"k", "l"}, Items: []string{"k", "l"}}},
		},
		"env uses one key, envFrom every key": {
			[]obj.Part{obj.Env(obj.Sec("b"), "password"), obj.Env(obj.CM("a").Optional(), "level"), obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.Sec("b").Optional())},
			[]source.Usage{
				{Ref: a, Via: source.ViaEnvFrom, Container: "app"},
				{Ref: b, Via: source.ViaEnvFrom, Container: "app", Optional: true},
				{Ref: b, Via: source.ViaEnv, Container: "app", Keys: []string{"password"}},
				{Ref: a, Via: source.ViaEnv, Container: "app", Keys: []string{"level"}, Optional: true},
			},
		},
		"optional: false is required": {
			[]obj.Part{obj.Mount(obj.CM("a").Required())},
			[]source.Usage{{Ref: a, Via: source.ViaVolume, Container: "app"}},
		},
		"an ordinary init container runs once, a restartable one does not": {
			[]obj.Part{obj.Init("setup"), obj.Mount(obj.CM("a")), obj.Env(obj.Sec("b"), "k"), obj.Sidecar("proxy"), obj.Mount(obj.CM("a")), obj.Container("app"), obj.Mount(obj.CM("a"))},
			[]source.Usage{
				{Ref: a, Via: source.ViaVolume, Container: "app"},
				{Ref: a, Via: source.ViaVolume, Container: "setup", Init: true, RunsOnce: true},
				{Ref: b, Via: source.ViaEnv, Container: "setup", Init: true, RunsOnce: true, Keys: []string{"k"}},
				{Ref: a, Via: source.ViaVolume, Container: "proxy", Init: true},
			},
		},
		"a volume that no container mounts is not used": {
			[]obj.Part{obj.Unmounted(obj.CM("a")), obj.Mount(obj.Sec("b"))},
			[]source.Usage{{Ref: b, Via: source.ViaVolume, Container: "app"}},
		},
		"a volume of the secrets-store driver uses its class, also below a subPath": {
			[]obj.Part{obj.CSI("vault"), obj.VolumeMount(secretsStore("vault"), corev1.VolumeMount{SubPath: "password"})},
			[]source.Usage{
				{Ref: csiRef("vault"), Via: source.ViaCSI, Container: "app"},
				{Ref: csiRef("vault"), Via: source.ViaSubPath, Container: "app"},
			},
		},
		"other volumes, other drivers and names that are empty use nothing": {
			[]obj.Part{
				obj.VolumeMount(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, corev1.VolumeMount{}),
				obj.VolumeMount(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "other", VolumeAttributes: map[string]string{"secretProviderClass": "x"}}}, corev1.VolumeMount{}),
				obj.Mount(obj.CM("")), obj.Env(obj.Sec(""), "k"), obj.EnvFrom(obj.CM("")), obj.CSI(""), obj.FieldVar("POD", "metadata.name"), obj.Var("A", "b"),
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := source.Usages(obj.Namespace, obj.Spec(tc.parts...))
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(source.Usage{}, "Place", "Layer")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMountOfAVolumeThatIsNotThere(t *testing.T) {
	t.Parallel()
	spec := obj.Spec(obj.Mount(obj.CM("a")))
	spec.Volumes = nil
	if got := source.Usages(obj.Namespace, spec); len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
}

func secretsStore(class string) corev1.VolumeSource {
	return obj.Spec(obj.CSI(class)).Volumes[0].VolumeSource
}

func TestEveryKeyIsNilAndNotEmpty(t *testing.T) {
	t.Parallel()
	for _, u := range source.Usages(obj.Namespace, obj.Spec(obj.Mount(obj.CM("a")), obj.EnvFrom(obj.CM("a")), obj.SubPath(obj.CM("a"), "."))) {
		if u.Keys != nil {
			t.Errorf("%s: keys %q, want nil, since an empty list means none", u.Via, u.Keys)
		}
	}
}

// The table of what a running container sees.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		via                   source.Via
		inContainer, runsOnce bool
	}{
		{source.ViaVolume, true, false},
		{source.ViaProjected, true, false},
		{source.ViaCSI, true, false},
		{source.ViaSubPath, false, false},
		{source.ViaEnv, false, false},
		{source.ViaEnvFrom, false, false},
		{source.ViaNamed, false, false},
		{"Unheard", false, false},
	} {
		if got := (source.Usage{Via: tc.via}).Live(); got != tc.inContainer {
			t.Errorf("%s in a container: %t", tc.via, got)
		}
		if got := (source.Usage{Via: tc.via, Init: true}).Live(); got != tc.inContainer {
			t.Errorf("%s in a restartable init container: %t", tc.via, got)
		}
		if got := (source.Usage{Via: tc.via, Init: true, RunsOnce: true}).Live(); got != tc.runsOnce {
			t.Errorf("%s in an ordinary init container: %t", tc.via, got)
		}
	}
}
