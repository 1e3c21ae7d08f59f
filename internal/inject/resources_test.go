package inject_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/inject"
)

func cpu(amount string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}
}

// quota is one that counts one thing.
func quota(hard, used string, name corev1.ResourceName, scopes ...corev1.ResourceQuotaScope) inject.Quota {
	q := inject.Quota{
		Name: "team", Hard: corev1.ResourceList{name: resource.MustParse(hard)}, Used: corev1.ResourceList{name: resource.MustParse(used)},
	}
	for _, scope := range scopes {
		q.Scopes = append(q.Scopes, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
	}
	return q
}

func allows(limits inject.Limits) change {
	return given(func(o *inject.Options) { o.Limits = &limits })
}

func container(item corev1.LimitRangeItem) inject.Limits {
	item.Type = corev1.LimitTypeContainer
	return inject.Limits{Ranges: []inject.Range{{Name: "team", LimitRangeItem: item}}}
}

func podRange(item corev1.LimitRangeItem) inject.Limits {
	item.Type = corev1.LimitTypePod
	return inject.Limits{Ranges: []inject.Range{{Name: "team", LimitRangeItem: item}}}
}

// uses gives the application requests and limits, "" for none.
func uses(cpuRequest, cpuLimit, memoryRequest, memoryLimit string) change {
	return web(func(c *corev1.Container) {
		c.Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
		for _, one := range []struct {
			list   corev1.ResourceList
			name   corev1.ResourceName
			amount string
		}{
			{c.Resources.Requests, corev1.ResourceCPU, cpuRequest},
			{c.Resources.Limits, corev1.ResourceCPU, cpuLimit},
			{c.Resources.Requests, corev1.ResourceMemory, memoryRequest},
			{c.Resources.Limits, corev1.ResourceMemory, memoryLimit},
		} {
			if one.amount != "" {
				one.list[one.name] = resource.MustParse(one.amount)
			}
		}
	})
}

// asUser makes the sidecar run in its own image, without programs of the application.
func asUser() change {
	return web(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(101))} })
}

// amounts is what a container asks for, as "cpu 5m-100m, memory 16Mi-64Mi": request and limit.
func amounts(c *corev1.Container) string {
	var all []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		request, requested := c.Resources.Requests[name]
		limit, limited := c.Resources.Limits[name]
		text := ""
		if requested {
			text = request.String()
		}
		if limited {
			text += "-" + limit.String()
		}
		if text != "" {
			all = append(all, fmt.Sprintf("%s %s", name, text))
		}
	}
	return strings.Join(all, ", ")
}

func TestWhatTheSidecarAsksFor(t *testing.T) {
	t.Parallel()
	bestEffort := quota("10", "1", corev1.ResourceRequestsCPU, corev1.ResourceQuotaScopeNotBestEffort)
	for name, tc := range map[string]struct {
		changes []change
		want    string
		note    string // part of a note in the record
	}{
		"nothing is known and the application has no limits": {want: "cpu 5m, memory 16Mi-256Mi"},
		"an image of its own needs less memory":              {changes: []change{asUser()}, want: "cpu 5m, memory 16Mi-64Mi"},
		"the application has a limit on processors":          {changes: []change{asUser(), uses("50m", "500m", "64Mi", "128Mi")}, want: "cpu 10m-100m, memory 16Mi-64Mi"},
		"so has one with programs": {
			changes: []change{uses("50m", "500m", "64Mi", "128Mi")}, want: "cpu 20m-200m, memory 16Mi-256Mi",
		},
		"all its containers are guaranteed": {changes: []change{asUser(), uses("1", "1", "1Gi", "1Gi")}, want: "cpu 50m-50m, memory 64Mi-64Mi"},
		"all its containers are guaranteed and a limit is asked for": {
			changes: []change{asUser(), uses("1", "1", "1Gi", "1Gi"), annotated("inpod.dev/sidecar-cpu-limit", "70m")}, want: "cpu 70m-70m, memory 64Mi-64Mi",
		},
		"a limit is asked for": {
			changes: []change{asUser(), annotated("inpod.dev/sidecar-cpu-limit", "30m")}, want: "cpu 5m-30m, memory 16Mi-64Mi",
		},
		"the chart has a limit": {
			changes: []change{asUser(), given(func(o *inject.Options) { o.CPULimit = resource.MustParse("30m") })}, want: "cpu 5m-30m, memory 16Mi-64Mi",
		},
		"less is asked for than the default request": {
			changes: []change{asUser(), annotated("inpod.dev/sidecar-cpu-limit", "2m")}, want: "cpu 2m-2m, memory 16Mi-64Mi",
		},
		"ephemeral storage is asked for": {
			changes: []change{asUser(), annotated("inpod.dev/sidecar-ephemeral-storage-request", "1Mi", "inpod.dev/sidecar-ephemeral-storage-limit", "8Mi")},
			want:    "cpu 5m, memory 16Mi-64Mi, ephemeral-storage 1Mi-8Mi",
		},
		"ephemeral storage of the chart": {
			changes: []change{asUser(), given(func(o *inject.Options) { o.StorageLimit = resource.MustParse("8Mi") })},
			want:    "cpu 5m, memory 16Mi-64Mi, ephemeral-storage -8Mi",
		},

		"a quota counts limits of processors": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("4", "500m", "limits.cpu")}})}, want: "cpu 10m-100m, memory 16Mi-64Mi",
		},
		"a quota has less left": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("4", "3970m", "limits.cpu")}})},
			want:    "cpu 10m-30m, memory 16Mi-64Mi", note: "less cpu than usual, because ResourceQuota team has 30m of limits.cpu left",
		},
		"a quota has less left once the pod is counted": {
			changes: []change{asUser(), uses("50m", "500m", "", ""), allows(inject.Limits{Quotas: []inject.Quota{quota("4", "3450m", "limits.cpu")}})},
			want:    "cpu 10m-50m, memory 16Mi-64Mi", note: "550m of limits.cpu left",
		},
		"a quota has no room for the pod itself, which is not the sidecar's matter": {
			changes: []change{asUser(), uses("50m", "500m", "", ""), allows(inject.Limits{Quotas: []inject.Quota{quota("4", "3900m", "limits.cpu")}})},
			want:    "cpu 10m-100m, memory 16Mi-64Mi",
		},
		"a quota has little memory left": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1Gi", "984Mi", "limits.memory")}})}, want: "cpu 5m, memory 16Mi-40Mi",
		},
		"a quota counts requests by their short name": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "998m", "cpu")}})}, want: "cpu 2m, memory 16Mi-64Mi",
		},
		"a quota demands what the chart has switched off": {
			changes: []change{
				asUser(), given(func(o *inject.Options) {
					o.CPURequest, o.MemoryRequest, o.MemoryLimit = resource.Quantity{}, resource.Quantity{}, resource.Quantity{}
				}),
				allows(inject.Limits{Quotas: []inject.Quota{
					quota("1", "0", "requests.cpu"), quota("1Gi", "0", "requests.memory"), quota("1Gi", "0", "limits.memory"),
				}}),
			}, want: "cpu 1m, memory 8Mi-256Mi",
		},
		"a quota of other pods counts nothing": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "1", "limits.cpu", corev1.ResourceQuotaScopeTerminating)}})},
			want:    "cpu 5m, memory 16Mi-64Mi",
		},
		"a quota of a scope that is not understood only makes a limit": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "1", "limits.cpu", "Newer")}})}, want: "cpu 10m-100m, memory 16Mi-64Mi",
		},
		"a quota of pods that read other namespaces": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("4", "3970m", "limits.cpu", corev1.ResourceQuotaScopeCrossNamespacePodAffinity)}}), spec(func(s *corev1.PodSpec) {
				s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
					{Weight: 1, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: "zone", Namespaces: []string{"other"}}},
				}}}
			})},
			want: "cpu 10m-30m, memory 16Mi-64Mi", note: "30m of limits.cpu left",
		},
		"a quota of pods that read other namespaces, which this one does not": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "1", "limits.cpu", corev1.ResourceQuotaScopeCrossNamespacePodAffinity)}}), spec(func(s *corev1.PodSpec) {
				s.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}}
			})},
			want: "cpu 5m, memory 16Mi-64Mi",
		},
		"a quota of claims": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "1", "limits.cpu", corev1.ResourceQuotaScopeVolumeAttributesClass)}})},
			want:    "cpu 5m, memory 16Mi-64Mi",
		},
		"a quota of pods of another class of priority": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "1", "limits.cpu", corev1.ResourceQuotaScopePriorityClass)}})},
			want:    "cpu 5m, memory 16Mi-64Mi",
		},
		"a pod without any stays BestEffort where quotas count such pods apart": {
			changes: []change{asUser(), allows(inject.Limits{Quotas: []inject.Quota{bestEffort}}), annotated("inpod.dev/sidecar-memory-limit", "32Mi")},
			want:    "", note: "a quota counts BestEffort pods apart",
		},

		"a LimitRange has a default limit, which is more than is needed": {
			changes: []change{asUser(), allows(container(corev1.LimitRangeItem{Default: cpu("500m"), DefaultRequest: cpu("100m"), Max: cpu("2")}))},
			want:    "cpu 10m-100m, memory 16Mi-64Mi",
		},
		"a LimitRange has a small ratio": {
			changes: []change{asUser(), allows(container(corev1.LimitRangeItem{MaxLimitRequestRatio: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("1500m"),
			}}))},
			want: "cpu 25m-100m, memory 44739243-64Mi",
		},
		"a LimitRange has a ratio, and the request is asked for": {
			changes: []change{
				asUser(), annotated("inpod.dev/sidecar-cpu-request", "8m"),
				allows(container(corev1.LimitRangeItem{MaxLimitRequestRatio: cpu("2")})),
			}, want: "cpu 8m-16m, memory 16Mi-64Mi",
		},
		"a LimitRange has a minimum": {
			changes: []change{asUser(), allows(container(corev1.LimitRangeItem{Min: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
			}}))},
			want: "cpu 50m, memory 128Mi-128Mi",
		},
		"a LimitRange has a small maximum": {
			changes: []change{asUser(), allows(container(corev1.LimitRangeItem{Max: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
			}}))},
			want: "cpu 10m-50m, memory 16Mi-32Mi",
		},
		"a LimitRange has something to say of storage": {
			changes: []change{asUser(), allows(container(corev1.LimitRangeItem{Max: corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Gi")}}))},
			want:    "cpu 5m, memory 16Mi-64Mi, ephemeral-storage -1Gi",
		},
		"a LimitRange has a ratio for pods": {
			changes: []change{asUser(), uses("100m", "200m", "64Mi", "128Mi"), allows(podRange(corev1.LimitRangeItem{MaxLimitRequestRatio: cpu("2")}))},
			want:    "cpu 50m-100m, memory 16Mi-64Mi",
		},
		"a LimitRange has a maximum for pods": {
			changes: []change{asUser(), uses("100m", "200m", "", ""), allows(podRange(corev1.LimitRangeItem{Max: cpu("240m")}))},
			want:    "cpu 10m-40m, memory 16Mi-64Mi",
		},
		"a LimitRange for claims says nothing": {
			changes: []change{asUser(), allows(inject.Limits{Ranges: []inject.Range{{Name: "x", LimitRangeItem: corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Max: cpu("1m")}}}})},
			want:    "cpu 5m, memory 16Mi-64Mi",
		},
		"a guaranteed pod stays guaranteed where a quota has little left": {
			changes: []change{asUser(), uses("1", "1", "1Gi", "1Gi"), allows(inject.Limits{Quotas: []inject.Quota{quota("2", "970m", "requests.cpu")}})},
			want:    "cpu 30m-30m, memory 64Mi-64Mi",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.changes...)
			injected, report := injectInto(pod, o)
			if report.Reason != inject.Injected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			if got := amounts(sidecarOf(injected)); got != tc.want {
				t.Errorf("the sidecar asks for %q, want %q", got, tc.want)
			}
			if !slices.ContainsFunc(report.Record.Notes, func(note string) bool { return tc.note != "" && strings.Contains(note, tc.note) }) && tc.note != "" {
				t.Errorf("the notes %q do not say %q", report.Record.Notes, tc.note)
			}
		})
	}
}

// What is left for the pod is counted as Kubernetes does: an init container that needs much leaves room for what runs after it.
func TestAnInitContainerThatNeedsMuchLeavesRoom(t *testing.T) {
	t.Parallel()
	pod, o := nginx(asUser(), uses("50m", "100m", "", ""), spec(func(s *corev1.PodSpec) {
		s.InitContainers = []corev1.Container{{Name: "migrate", Resources: corev1.ResourceRequirements{Limits: cpu("1")}}}
	}), allows(inject.Limits{Quotas: []inject.Quota{quota("1", "0", "limits.cpu")}}))
	injected, report := injectInto(pod, o)
	if report.Reason != inject.Injected || amounts(sidecarOf(injected)) != "cpu 10m-100m, memory 16Mi-64Mi" || len(report.Record.Notes) > 0 {
		t.Errorf("%s: %s, notes %q", report.Reason, report.Message, report.Record.Notes)
	}
}

// Without the capability the record says what that means.
func TestASidecarWithoutCapabilitiesSaysWhatThatMeans(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		changes []change
		want    string // "" for no note
	}{
		"a signal":                 {[]change{annotated("inpod.dev/sidecar-capabilities", "none")}, "processes of root alone"},
		"a signal by the chart":    {[]change{given(func(o *inject.Options) { o.Capabilities = "none" })}, "processes of root alone"},
		"a command":                {[]change{annotated("inpod.dev/sidecar-capabilities", "none", "inpod.dev/reload-command", `["nginx","-s","reload"]`)}, "its command may do less"},
		"a user that needs none":   {[]change{asUser(), annotated("inpod.dev/sidecar-capabilities", "none")}, ""},
		"a pod that takes it back": {[]change{given(func(o *inject.Options) { o.Capabilities = "none" }), annotated("inpod.dev/sidecar-capabilities", "as-needed")}, ""},
	} {
		pod, o := nginx(tc.changes...)
		injected, report := injectInto(pod, o)
		if report.Reason != inject.Injected {
			t.Errorf("%s: %s: %s", name, report.Reason, report.Message)
			continue
		}
		added := sidecarOf(injected).SecurityContext.Capabilities.Add
		if notes := strings.Join(report.Record.Notes, "; "); (notes == "") != (tc.want == "") || !strings.Contains(notes, tc.want) || tc.want != "" && len(added) > 0 {
			t.Errorf("%s: capabilities %v, notes %q; want %q", name, added, notes, tc.want)
		}
	}
}
