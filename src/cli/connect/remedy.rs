//! What to do about a connect that failed, where the error itself does not say.

use nvme_fabrics::{Cause, ConnectError, OpenDeviceError};

/// In words for whoever typed the command; `None` where nothing general helps.
pub(in crate::cli) fn remedy_of(error: &ConnectError) -> Option<&'static str> {
    Some(match error {
        ConnectError::Device(OpenDeviceError::Missing { .. }) => {
            "load the module now with `modprobe nvme-fabrics`, and add the line `nvme-fabrics` \
                to /etc/modules-load.d/nvmeof-csi.conf"
        }
        ConnectError::Device(OpenDeviceError::Open { .. }) => "run as root",
        ConnectError::Excluded { .. } => "remove the entry if the controller is wanted",
        ConnectError::HostIdConflict { .. } => {
            "use one pair for the whole host: /etc/nvme/hostnqn and /etc/nvme/hostid; disconnect \
                what uses another"
        }
        ConnectError::Rejected { .. } | ConnectError::Invalid { .. } => {
            return error.cause().and_then(remedy_of_cause);
        }
        ConnectError::KeyMissing { .. } | ConnectError::KeyRejected { .. } => {
            "give the secret that the target has for this host with --dhchap-secret-file; for TLS, \
                put the key into the keyring .nvme"
        }
        ConnectError::RefusedOrUnproven { .. } => {
            "check that the target listens there, and that --dhchap-ctrl-secret-file holds the \
                target's own secret"
        }
        ConnectError::NeverAnswered { .. } => {
            "check that an NVMe/TCP target and nothing else listens on that port, and that it is \
                not overloaded"
        }
        ConnectError::Portal(_)
        | ConnectError::Refused { .. }
        | ConnectError::Unreachable { .. } => {
            "check the address, the network, and that the target listens there"
        }
        ConnectError::Unsupported { .. } => {
            "leave the option out, or use a newer kernel; `nvmeof-csi doctor` lists what this \
                one takes"
        }
        _ => return None,
    })
}

fn remedy_of_cause(cause: &Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::HostNotAllowed { .. } => {
            "add the hostnqn to the hosts that the target allows for this subsystem"
        }
        Cause::UnknownSubsystem => {
            "check the spelling of the NQN, and that the target exports the subsystem on this \
                port; `nvmeof-csi discover` lists what it exports"
        }
        Cause::AuthRequired | Cause::AuthFailed => {
            "give the secret that the target has for this host with --dhchap-secret-file"
        }
        Cause::DigestMismatch { .. } => {
            "give --hdr-digest and --data-digest as the target is configured"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use nvme_fabrics::Explanation;

    use super::*;

    #[test]
    fn failures_that_the_administrator_can_mend_come_with_a_remedy() {
        let nqn = || "nqn.2026-01.org.example:volume-1".parse().expect("a name");
        let hostnqn = nqn();
        let rejected = |cause| ConnectError::Rejected {
            nqn: nqn(),
            explanation: Explanation::Known(cause),
        };
        for (error, word) in [
            (rejected(Cause::HostNotAllowed { hostnqn }), "allows"),
            (rejected(Cause::UnknownSubsystem), "discover"),
            (rejected(Cause::AuthFailed), "--dhchap-secret-file"),
            (
                ConnectError::KeyMissing { nqn: nqn() },
                "--dhchap-secret-file",
            ),
            (
                ConnectError::KeyRejected { nqn: nqn() },
                "--dhchap-secret-file",
            ),
            (ConnectError::NeverAnswered { nqn: nqn() }, "port"),
        ] {
            let remedy = remedy_of(&error);
            assert!(
                remedy.is_some_and(|remedy| remedy.contains(word)),
                "{error}: {remedy:?}"
            );
        }
    }

    #[test]
    fn a_cause_that_is_not_known_has_no_remedy() {
        let nqn = "nqn.2026-01.org.example:volume-1".parse().expect("a name");
        let explanation = Explanation::NothingLogged;
        assert_eq!(
            remedy_of(&ConnectError::Rejected { nqn, explanation }),
            None
        );
    }
}
