//go:build e2e

package main

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestTheFormerRevision(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{UID: "mine"}}
	set := func(name, number string, owner types.UID) appsv1.ReplicaSet {
		return appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{revision: number}, OwnerReferences: []metav1.OwnerReference{{UID: owner, Controller: new(true)}},
		}}
	}
	for name, c := range map[string]struct {
		sets []appsv1.ReplicaSet
		want string
	}{
		"none":              {nil, ""},
		"one":               {[]appsv1.ReplicaSet{set("a", "1", "mine")}, ""},
		"two":               {[]appsv1.ReplicaSet{set("a", "1", "mine"), set("b", "2", "mine")}, "a"},
		"in another order":  {[]appsv1.ReplicaSet{set("c", "10", "mine"), set("a", "8", "mine"), set("b", "9", "mine")}, "b"},
		"of somebody else":  {[]appsv1.ReplicaSet{set("a", "1", "other"), set("b", "2", "mine")}, ""},
		"not only the next": {[]appsv1.ReplicaSet{set("b", "9", "mine"), set("c", "10", "mine"), set("d", "11", "other")}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if former := formerOf(deployment, c.sets); former != nil {
				got = former.Name
			}
			if got != c.want {
				t.Errorf("former is %q, want %q", got, c.want)
			}
		})
	}
}

func TestFaultsAreLeftOutByTheirNames(t *testing.T) {
	for without, want := range map[string]int{"": 0, "none": 0, "key": 1, "undo,copy,key,slow": 4} {
		if got, err := (options{without: without}).leftOut(); err != nil || len(got) != want {
			t.Errorf("-without %q leaves out %v (%v), want %d", without, got, err, want)
		}
	}
	if _, err := (options{without: "undos"}).leftOut(); err == nil {
		t.Error("a name that is none is accepted")
	}
}
