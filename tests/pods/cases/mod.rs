//! The cases, in the order in which they run on one cluster.

mod attach;
mod driver;
mod events;
mod health;
mod life;
mod options;
mod outage;
mod removal;
mod rights;

use crate::case::Case;

/// All cases; the last reboots the node.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = of_life();
    cases.extend(of_trouble());
    cases
}

fn of_life() -> Vec<Case> {
    vec![
        Case::always(
            "kubelet_registers_the_driver",
            driver::kubelet_registers_the_driver,
        ),
        Case::always(
            "a_pod_writes_to_a_static_filesystem_volume",
            life::a_pod_writes_to_a_static_filesystem_volume,
        ),
        Case::always(
            "an_export_that_comes_late_fails_no_write",
            outage::an_export_that_comes_late_fails_no_write,
        ),
        Case::asked(
            "a_pod_writes_to_a_raw_block_volume",
            life::a_pod_writes_to_a_raw_block_volume,
        ),
        Case::asked(
            "the_next_pod_finds_what_the_last_one_wrote",
            life::the_next_pod_finds_what_the_last_one_wrote,
        ),
        Case::asked(
            "a_volume_belongs_to_the_group_of_the_pod",
            options::a_volume_belongs_to_the_group_of_the_pod,
        ),
        Case::asked(
            "a_volume_that_is_only_read_refuses_writes",
            options::a_volume_that_is_only_read_refuses_writes,
        ),
        Case::asked(
            "a_second_node_gets_the_volume_only_after_the_first",
            attach::a_second_node_gets_the_volume_only_after_the_first,
        ),
        Case::asked(
            "kubelet_is_told_how_full_volumes_are",
            health::kubelet_is_told_how_full_volumes_are,
        ),
        Case::asked(
            "a_lost_target_shows_in_the_health_of_pod_and_driver_until_it_returns",
            health::a_lost_target_shows_in_the_health_of_pod_and_driver_until_it_returns,
        ),
    ]
}

fn of_trouble() -> Vec<Case> {
    vec![
        Case::asked(
            "a_link_that_is_cut_for_30_s_fails_no_write",
            outage::a_link_that_is_cut_for_30_s_fails_no_write,
        ),
        Case::asked(
            "a_target_that_restarts_fails_no_write",
            outage::a_target_that_restarts_fails_no_write,
        ),
        Case::asked(
            "controllers_that_are_deleted_fail_no_write",
            outage::controllers_that_are_deleted_fail_no_write,
        ),
        Case::asked(
            "a_driver_pod_that_is_deleted_fails_no_write",
            driver::a_driver_pod_that_is_deleted_fails_no_write,
        ),
        Case::asked(
            "a_driver_that_is_killed_fails_no_write",
            driver::a_driver_that_is_killed_fails_no_write,
        ),
        Case::asked(
            "a_daemon_set_that_is_rolled_fails_no_write",
            driver::a_daemon_set_that_is_rolled_fails_no_write,
        ),
        Case::asked(
            "a_kubelet_that_restarts_fails_no_write",
            driver::a_kubelet_that_restarts_fails_no_write,
        ),
        Case::asked(
            "a_pod_deleted_while_its_target_is_gone_goes_when_it_returns",
            removal::a_pod_deleted_while_its_target_is_gone_goes_when_it_returns,
        ),
        Case::asked(
            "a_pod_deleted_while_its_target_is_gone_goes_once_it_is_let_go",
            removal::a_pod_deleted_while_its_target_is_gone_goes_once_it_is_let_go,
        ),
        Case::asked(
            "a_namespace_is_deleted_with_its_volumes",
            removal::a_namespace_is_deleted_with_its_volumes,
        ),
        Case::asked(
            "an_outage_is_told_by_kubectl_describe_pvc",
            events::an_outage_is_told_by_kubectl_describe_pvc,
        ),
        Case::asked(
            "a_volume_that_cannot_be_staged_is_told_by_kubectl_describe_pvc",
            events::a_volume_that_cannot_be_staged_is_told_by_kubectl_describe_pvc,
        ),
        Case::asked(
            "nothing_is_forbidden_and_every_right_is_used",
            rights::nothing_is_forbidden_and_every_right_is_used,
        ),
        Case::asked(
            "a_node_that_reboots_during_an_outage_comes_back_with_its_pods",
            removal::a_node_that_reboots_during_an_outage_comes_back_with_its_pods,
        ),
    ]
}
