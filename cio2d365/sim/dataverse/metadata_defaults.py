"""Properties of definitions that are the same for every table or column here.

Tools select them by name, so that all that EntityMetadata and AttributeMetadata declare has to be there.
"""

from __future__ import annotations

from typing import Any

_OFF = (
    "AutoCreateAccessTeams AutoRouteToOwnerQueue EnforceStateTransitions EntityHelpUrlEnabled HasEmailAddresses "
    "IsAIRUpdated IsArchivalEnabled IsBPFEntity IsBusinessProcessEnabled IsChildEntity IsDocumentManagementEnabled "
    "IsDocumentRecommendationsEnabled IsEnabledForExternalChannels IsEnabledForTrace IsInteractionCentricEnabled "
    "IsKnowledgeManagementEnabled IsMSTeamsIntegrationEnabled IsOneNoteIntegrationEnabled IsReadingPaneEnabled "
    "IsRetentionEnabled IsSLAEnabled IsSolutionAware UsesBusinessDataLabelTable"
)
_ON = "CanTriggerWorkflow IsAvailableOffline IsEnabledForCharts IsImportable IsOptimisticConcurrencyEnabled"
_EMPTY = (
    "CreatedOn DataSourceId DaysSinceRecordLastModified EntityColor EntityHelpUrl ExternalCollectionName HasChanged "
    "IconLargeName IconMediumName IconSmallName IconVectorName MobileOfflineFilters ModifiedOn OwnerId "
    "OwningBusinessUnit PrimaryImageAttribute RecurrenceBaseEntityLogicalName SettingOf"
)
_MANAGED = (
    "CanBeInCustomEntityAssociation CanChangeHierarchicalRelationship CanChangeTrackingBeEnabled CanCreateCharts "
    "CanCreateForms CanEnableSyncToExternalSearchIndex CanModifyAdditionalSettings IsConnectionsEnabled "
    "IsMailMergeEnabled IsMappable IsOfflineInMobileClient IsReadOnlyInMobileClient IsValidForQueue "
    "IsVisibleInMobile IsVisibleInMobileClient"
)
_COLUMN_ON = (
    "CanBeSecuredForCreate CanBeSecuredForRead CanBeSecuredForUpdate IsRetrievable IsValidForForm IsValidForGrid"
)
_COLUMN_OFF = "IsDataSourceSecret IsFilterable IsRequiredForForm"
_COLUMN_EMPTY = "CreatedOn DeprecatedVersion ExternalName HasChanged InheritsFrom LinkedAttributeId ModifiedOn"
_COLUMN_MANAGED = "CanModifyAdditionalSettings IsGlobalFilterEnabled IsRenameable IsSortableEnabled"


def managed(value: Any, name: str) -> dict[str, Any]:
    """A managed property."""
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}


def _all_managed(names: str) -> dict[str, Any]:
    return {name: managed(True, name.lower()) for name in names.split()}


TABLE_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_OFF.split(), False),
    **dict.fromkeys(_ON.split(), True),
    **dict.fromkeys(_EMPTY.split()),
    **_all_managed(_MANAGED),
    "ActivityTypeMask": 0,
    "Settings": [],
    "SyncToExternalSearchIndex": True,
}
COLUMN_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_COLUMN_ON.split(), True),
    **dict.fromkeys(_COLUMN_OFF.split(), False),
    **dict.fromkeys(_COLUMN_EMPTY.split()),
    **_all_managed(_COLUMN_MANAGED),
}
