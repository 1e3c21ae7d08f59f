package main

// sections is everything that the reference says of Reloader.
func sections() []section {
	return []section{flagRows(), environmentRows(), annotationRows(), selectionRows(), eventRows(), kindRows(), alertRows(), operationRows(), configHashRows(), faultRows(), operationFaults(), chartFaults()}
}

func flagRows() section {
	const accepted = "TestEveryFlagOfReloaderIsAccepted"
	return section{"Flags", "Each is also an environment variable (`INPOD_…`) and a key of the configuration file. `controller --help` has inpod's own.", []row{
		{"`--auto-reload-all`", same, "", []string{accepted, "TestReloaderCases"}},
		{"`--configmap-annotation`, `--secret-annotation`, `--auto-annotation`, `--configmap-auto-annotation`, `--secret-auto-annotation`", same, "", []string{accepted, "TestReach", "TestReloadersKeysAreTheDefault"}},
		{"`--auto-search-annotation`, `--search-match-annotation`, `--ignore-annotation`", same, "", []string{accepted, "TestReach"}},
		{"`--pause-deployment-annotation`, `--pause-deployment-time-annotation`", same, "", []string{accepted, "TestPauses"}},
		{"`--log-format`, `--log-level`", better, "a wrong value ends the program with the values that there are, instead of a log in another form", []string{accepted, "TestRefused", "TestParseLevel"}},
		{"`--webhook-url`", better, "the call says what changed, follows the annotations, and counts when it was answered with 2xx", []string{accepted, "TestAWebhookIsCalledInsteadOfRolling"}},
		{"`--resources-to-ignore`", better, "both at once are allowed, and neither switches anything else off", []string{accepted, "TestKindsOfSourcesThatAreIgnored", "TestNamespacesAndSourcesAreSelectedByTheirLabels"}},
		{"`--ignored-workload-types`", better, "an unknown value is an error at the start, instead of one per event; no rights are needed on what is ignored", []string{accepted, "TestRefused", "TestProgramsMayDoThisAndNoMore"}},
		{"`--namespaces`", better, "entries are trimmed; rights are asked for at the start, and what is missing is named", []string{accepted, "TestANamespacedInstallStaysInItsNamespace", "TestMissingPermissionsAreNamedAtStart"}},
		{"`--namespaces-to-ignore`", better, "trimmed, and left out by the API server: nothing of them is read", []string{accepted, "TestIgnoredNamespacesAreNotWatched", "TestWhatIsLeftOutIsNotAskedFor"}},
		{"`--namespace-selector`", better, "the older forms are understood; namespaces that do not match are not watched", []string{accepted, "TestSelector", "TestANamespaceBeginsAndCeasesToMatch"}},
		{"`--resource-label-selector`", same, "", []string{accepted, "TestSourcesThatAreNotSelected"}},
		{"`--is-Argo-Rollouts`", better, "also in small letters, as its documentation has it", []string{accepted, "TestRefused", "TestKindsThatAreNotOfKubernetesItself"}},
		{"`--reload-strategy`", same, "", []string{accepted, "TestEnvVarsStrategyWritesReloadersVariables", "TestAnnotationsStrategyWritesReloadersAnnotation"}},
		{"`--reload-on-create`, `--reload-on-delete`", better, "deletions are seen with both strategies, and nothing depends on which list was read first", []string{accepted, "TestSourcesThatAppearOrDisappearRollWhenAskedTo", "TestRuleAppearedOrGone"}},
		{"`--sync-after-restart`", different, "accepted, and explained in a line of the log: what changed meanwhile is always applied, once, and nothing else is", []string{accepted, "TestOnlyChangesRollThroughInstallStopStartAndUpgrade"}},
		{"`--enable-ha`", better, "the others are warm, the Lease is in the own namespace and released at a stop", []string{accepted, "TestNothingIsLostOrDoneTwiceWhenTheLeaderGoes", "TestALeaderThatIsStoppedHandsOverAtOnce"}},
		{"`--enable-csi-integration`", better, "waits for the driver's kinds where they are installed later", []string{accepted, "TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
		{"`--enable-pprof`, `--pprof-addr`", better, "profiles are on that address and nowhere else; the default is reached by port-forward only", []string{accepted, "TestProfiles"}},
		{"unknown flags", better, "end the program with exit code 2 and the name that was meant", []string{"TestRefused"}},
	}}
}

func environmentRows() section {
	return section{"Environment", "", []row{
		{"`KUBERNETES_NAMESPACE`", same, "", []string{"TestReach"}},
		{"`KUBECONFIG`, `HOME`", same, "", []string{"TestOrderOfCredentials"}},
		{"`POD_NAME`, `POD_NAMESPACE`", same, "", []string{"TestRefused"}},
		{"`RELOADER_NAMESPACE`, `RELOADER_DEPLOYMENT_NAME`", same, "`--meta-info` does it without them; the pod knows both", []string{"TestMetaInfoIsWrittenWhereItIsAskedFor"}},
		{"`METRICS_COUNT_BY_NAMESPACE`", same, "", []string{"TestReloadersMetricsAreCorrect"}},
		{"`ALERT_ON_RELOAD`, `ALERT_SINK`, `ALERT_WEBHOOK_URL`, `ALERT_WEBHOOK_PROXY`, `ALERT_ADDITIONAL_INFO`", same, "", []string{"TestAlertsAsReloaderSetsThem"}},
		{"`GOMAXPROCS`, `GOMEMLIMIT`", same, "Go follows the limit of the processor by itself; the chart sets `GOMEMLIMIT` from the limit of the memory", []string{"TestGoMemLimit"}},
	}}
}

func annotationRows() section {
	return section{"Annotations", "", []row{
		{"`reloader.stakater.com/auto` and its forms for one kind", same, "a value that is no boolean is reported in a Warning event", []string{"TestReloaderCases", "TestWhatCannotBeUnderstood"}},
		{"`configmap.…/reload`, `secret.…/reload`", better, "alternatives are held together (`a|b`), and an invalid pattern is reported and affects only itself", []string{"TestReloaderCases", "TestProblems"}},
		{"`secretproviderclass.…/auto`, `…/reload`", same, "", []string{"TestSecretProviderClasses", "TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
		{"`reloader.stakater.com/search`, `…/match`", same, "", []string{"TestReloaderCases", "TestSelectionOfSources"}},
		{"`reloader.stakater.com/ignore` on a source", same, "", []string{"TestReloaderCases", "TestSelectionOfSources"}},
		{"`reloader.stakater.com/ignore` on a workload", better, "has the effect that its documentation promises", []string{"TestPolicyOfTheWholeWorkload", "docs/adr/0004-annotation-semantics.md"}},
		{"`configmaps.exclude.…/reload`, `secrets.exclude.…/reload`", better, "count on the pod template as well, and may be patterns", []string{"TestReloaderCases", "docs/adr/0004-annotation-semantics.md"}},
		{"`deployment.reloader.stakater.com/pause-period`, `…/paused-at`", better, "for every kind, on the pod template too, and through restarts; nothing stays paused", []string{"TestThePausePeriodOutlivesARestart", "TestADeploymentThatReloaderLeftPausedIsResumedWhenItsPeriodIsOver", "docs/adr/0010-pauses.md"}},
		{"`reloader.stakater.com/rollout-strategy`", better, "on the pod template as well; what was restarted is recorded", []string{"TestRolloutStrategy", "TestARestartIsOneMergePatch"}},
		{"`reloader.stakater.com/last-reloaded-from`", same, "", []string{"TestAnnotationsStrategyWritesReloadersAnnotation"}},
	}}
}

func selectionRows() section {
	const cases = "TestReloaderCases"
	return section{"Which workloads a change concerns", "The cases that were measured on Reloader are the rows of `TestReloaderCases`, those with another result with the reason.", []row{
		{"the order: ignore, annotations of the workload or else of the template, exclude, named, search, auto, auto-reload-all", same, "", []string{cases, "TestPrecedence"}},
		{"the annotations of the pod template count if the workload has none: all or nothing, per kind of source", same, "", []string{cases}},
		{"`false` does not disable a name in a list; `\"\"` counts as nothing said", same, "", []string{cases}},
		{"an object that is named need not be referenced", same, "", []string{cases, "TestWanted"}},
		{"`[,cm1`: a pattern that cannot be read", better, "a Warning event; the other names count, and the program goes on", []string{"TestABadAnnotationWarnsOnItsWorkloadAndConcernsNobodyElse"}},
		{"`true` in a list of names", better, "is reported: the annotation that was meant is named", []string{"TestWhatCannotBeUnderstood"}},
		{"what is a reference: volumes, projected volumes, `env`, `envFrom`, init containers", better, "all volumes of a source, not the first only, and key by key", []string{"TestUsages", "TestEveryUsageInEveryKindRollsOncePerChange"}},
	}}
}

func eventRows() section {
	return section{"What counts as a change", "", []row{
		{"new content", better, "of a key that is used; an edit that is taken back before it is applied is none", []string{"TestEditsThatChangeNothingThatIsUsedRollNothing", "TestAChangeThatIsTakenBackRollsNothing"}},
		{"labels, annotations, type of a source", same, "no change", []string{"TestEditsThatChangeNothingThatIsUsedRollNothing"}},
		{"a source is created or deleted", better, "see the flags; one that is made again with other content is a change", []string{"TestSourcesThatAppearOrDisappearRollWhenAskedTo", "TestASourceThatComesBackRollsOnce"}},
		{"changes while it is down, and between two leaders", better, "applied once afterwards", []string{"TestOnlyChangesRollThroughInstallStopStartAndUpgrade", "TestAChangeBetweenTwoLeadersIsAppliedOnce"}},
		{"several changes at once", better, "one rollout, with the template's own edit too", []string{"TestManyEditsInQuickSuccessionAreOneRollout", "TestAReleaseOfAnApplicationIsOneRollout"}},
		{"a source in another namespace", same, "not supported, by design", []string{"TestOtherNamespacesAreNotThere"}},
	}}
}

func kindRows() section {
	return section{"Kinds of workloads", "See [kinds](workload-kinds.md).", []row{
		{"Deployment, StatefulSet, DaemonSet", same, "one strategic merge patch of the pod template", []string{"TestARolloutIsOneRequest", "TestEveryUsageInEveryKindRollsOncePerChange"}},
		{"CronJob", better, "a Job is started once, not of a suspended one, and as `concurrencyPolicy` allows", []string{"TestAChangeStartsAJobOfACronJob", "TestAJobIsStartedOnceForEachContent", "docs/workload-kinds.md"}},
		{"Job", better, "made again under its name only while it runs, and nothing is lost whatever is refused or stopped", []string{"TestAChangeRecreatesAJob", "TestAJobIsRecreatedWhateverHappens", "TestAJobIsNotLostWhenTheControllerStopsHalfway", "docs/adr/0012-job-recreation.md"}},
		{"Argo Rollout, both strategies", better, "a patch by positions with tests instead of a whole object: no field is lost", []string{"TestKindsThatAreNotOfKubernetesItself", "TestAPatchByPositionsTouchesNothingElse"}},
		{"Argo Rollout with `workloadRef`", better, "followed through the workload that it refers to; never rolled twice", []string{"TestAWorkloadMayRunTheTemplateOfAnother", "docs/adr/0007-unstructured-kinds.md"}},
		{"OpenShift DeploymentConfig", better, "Reloader has dropped it", []string{"TestKindsThatAreNotOfKubernetesItself"}},
		{"any other kind with a pod template", better, "`--workload-kinds`", []string{"TestKindsThatAreNotOfKubernetesItself", "TestOtherKindsReloadInPlace"}},
		{"pause-period pauses the Deployment", different, "the next rollout waits; `spec.paused` is never written", []string{"TestChangesWithinThePausePeriodAreOneRolloutAtItsEnd", "docs/adr/0010-pauses.md"}},
	}}
}

func alertRows() section {
	return section{"Alerts and webhook", "", []row{
		{"`slack`, `gchat`, raw text", better, "in the background, with time-outs and repetitions; on failures as well", []string{"TestBodyOfEachSink", "TestSendingNeverBlocks"}},
		{"`teams`", better, "an adaptive card, and 202 is a success", []string{"TestTeamsGetsAnAdaptiveCardThatShowsFailure", "TestPost"}},
		{"the webhook", better, "see `--webhook-url`; Reloader's body is a constant", []string{"TestTheCallSaysWhatChangedAndIsThenRecorded", "docs/delegating-rollouts.md"}},
		{"addresses in logs", better, "never", []string{"TestAnAddressThatCannotBePostedToIsNotRepeatedInTheError", "TestAllProblemsAreReportedAndNoPassword"}},
	}}
}

func operationRows() section {
	return section{"Operation", "", []row{
		{"`:9090` with `/metrics` and `/live`", better, "and `/ready`, which says when the caches are filled and the election works", []string{"TestEndpoints", "TestReadinessSaysWhatIsMissing"}},
		{"the Lease `stakater-reloader-lock`", different, "`<release>-controller`, so that two releases do not meet; released at a stop", []string{"TestLeaseIsKeptUntilTheWorkHasEnded", "TestALeaderThatIsStoppedHandsOverAtOnce"}},
		{"events `Reloaded` and `ReloadFail` on the workload", same, "with what changed and why; component `inpod`", []string{"TestWhatIsEmittedIsWrittenOnce", "TestAWorkloadThatAdmissionRefusesIsRetriedForItselfAlone"}},
		{"the meta-info ConfigMap", better, "written by the leader alone, only when it differs, with rights on this one name; an address that is a password is not in it", []string{"TestMetaInfo", "TestTheMetaInformationIsWritten"}},
		{"`reloader_reload_executed_total` and `…_by_namespace`", same, "", []string{"TestReloadersMetricsAreCorrect", "TestANamespacedInstallStaysInItsNamespace"}},
		{"`reloader_reconcile_…`, `reloader_action_…`, `reloader_skipped_total`, `reloader_errors_total`, `reloader_retries_total`, `reloader_events_…`, `reloader_workqueue_…`", better, "a reconciliation counts once, and events have their type", []string{"TestReloadersMetricsAreCorrect"}},
		{"`reloader_workloads_scanned_total`, `reloader_workloads_matched_total`", different, "not there: nothing is scanned, an index has the workloads", []string{"TestOneEditAmongFiveHundredWorkloadsIsOnePatchAndOneEvent"}},
		{"`rest_client_requests_total`, `rest_client_request_duration_seconds`, Go's and the process's", same, "", []string{"TestRequestsReport"}},
	}}
}

func configHashRows() section {
	return section{"What a rollout writes", "", []row{
		{"the variable's name: `STAKATER_<NAME>_CONFIGMAP`, `…_SECRET`", same, "", []string{"TestVariable"}},
		{"two objects whose names give one variable", better, "the config hash covers both", []string{"TestConfigHashOfNamesThatCollide"}},
		{"the value: 40 hexadecimal digits", better, "keyed with a key of the installation: nobody can guess a short password from it", []string{"TestConfigHash", "docs/adr/0005-digest-key.md"}},
		{"which container gets it", same, "", []string{"TestContainerOfAConfigHash"}},
		{"`last-reloaded-from` with type, name, namespace, hash, containerRefs, observedAt", same, "whether to write it does not depend on the time in it", []string{"TestAnnotationsStrategyWritesReloadersAnnotation"}},
		{"no `resourceVersion` in the patch", same, "the UID is in it: it does not hit an object that was made again", []string{"TestPatches"}},
		{"variables of sources that are not used any more", better, "go with the next rollout", []string{"TestStale", "TestAStaleVariableGoes"}},
		{"what is applied again by GitOps tools undoes nothing", same, "", []string{"TestApplyingTheManifestAgainUndoesNothing", "TestReplacingAWorkloadIsOneRollout"}},
	}}
}
