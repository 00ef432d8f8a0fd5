//! What to do about a connect that failed, where the error itself does not say.

use nvme_fabrics::{Cause, ConnectError, Explanation, OpenDeviceError, Refusal, Refused};

const CHECK_ADDRESS: &str = "check the address, the network, and that the target listens there";

/// In words for whoever typed the command; `None` where nothing general helps.
pub(in crate::cli) fn remedy_of(error: &ConnectError) -> Option<&'static str> {
    Some(match error {
        ConnectError::Kernel(refused) => return remedy_of_refusal(refused),
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
        ConnectError::Portal(_) => CHECK_ADDRESS,
        ConnectError::Unsupported { .. } => {
            "leave the option out, or use a newer kernel; `nvmeof-csi doctor` lists what this \
                one takes"
        }
        _ => return None,
    })
}

fn remedy_of_refusal(refused: &Refused) -> Option<&'static str> {
    Some(match refused.refusal {
        Refusal::KeyMissing | Refusal::KeyRejected => {
            "give the secret that the target has for this host with --dhchap-secret-file; for TLS, \
                put the key into the keyring .nvme"
        }
        Refusal::RefusedOrUnproven => {
            "check that the target listens there, and that --dhchap-ctrl-secret-file holds the \
                target's own secret"
        }
        Refusal::NeverAnswered => {
            "check that an NVMe/TCP target and nothing else listens on that port, and that it is \
                not overloaded"
        }
        Refusal::Refused | Refusal::Unreachable => CHECK_ADDRESS,
        _ => match &refused.explanation {
            Explanation::Known(cause) => return remedy_of_cause(cause),
            _ => return None,
        },
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
    use super::*;

    fn refused(refusal: Refusal, explanation: Explanation) -> ConnectError {
        let nqn = "nqn.2026-01.org.example:volume-1".parse().expect("a name");
        let refused = Refused::new(refusal, nqn);
        ConnectError::from(Refused {
            explanation,
            ..refused
        })
    }

    #[test]
    fn failures_that_the_administrator_can_mend_come_with_a_remedy() {
        let hostnqn = "nqn.2026-01.org.example:host".parse().expect("a name");
        let rejected = |cause| refused(Refusal::Rejected, Explanation::Known(cause));
        let plain = |refusal| refused(refusal, Explanation::NotAsked);
        for (error, word) in [
            (rejected(Cause::HostNotAllowed { hostnqn }), "allows"),
            (rejected(Cause::UnknownSubsystem), "discover"),
            (rejected(Cause::AuthFailed), "--dhchap-secret-file"),
            (plain(Refusal::KeyMissing), "--dhchap-secret-file"),
            (plain(Refusal::KeyRejected), "--dhchap-secret-file"),
            (plain(Refusal::NeverAnswered), "port"),
            (plain(Refusal::Unreachable), "check the address"),
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
        let rejected = refused(Refusal::Rejected, Explanation::NothingLogged);
        assert_eq!(remedy_of(&rejected), None);
    }
}
