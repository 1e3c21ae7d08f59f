package reconcile

import (
	"fmt"

	"inpod.dev/inpod/internal/annotation"
)

func baselinePutBackMessage(manager string) string {
	return fmt.Sprintf("%s has restored an old value of annotation %s, which inpod writes. Remove the annotation from the manifest",
		manager, annotation.Baseline)
}
