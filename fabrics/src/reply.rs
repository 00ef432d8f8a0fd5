//! What the kernel answers to a successful connect: `instance=%d,cntlid=%d\n`.

use nvme_sysfs::Instance;

/// The `cntlid` of a controller that has none yet.
const NO_CNTLID: u16 = 0xffff;

/// Answer to a successful connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// N of the new `nvmeN`.
    pub instance: Instance,
    /// The target's number for it. None when the kernel says 65535: a Fibre Channel controller
    /// whose first association failed and which goes on connecting.
    pub cntlid: Option<u16>,
}

/// The device answered something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reply {text:?} is not of the form instance=<number>,cntlid=<number>")]
pub struct ReplyError {
    /// The start of the answer.
    text: String,
}

impl Reply {
    /// Reads the kernel's line, and nothing but it.
    ///
    /// # Errors
    /// Any deviation, `instance=-1` included, which means that no controller was made.
    pub fn parse(text: &str) -> Result<Reply, ReplyError> {
        fields(text).ok_or_else(|| ReplyError {
            text: text.chars().take(80).collect(),
        })
    }
}

fn fields(text: &str) -> Option<Reply> {
    let line = text.strip_suffix('\n')?.strip_prefix("instance=")?;
    let (instance, cntlid) = line.split_once(",cntlid=")?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(instance) || !plain(cntlid) {
        return None;
    }
    let cntlid: u16 = cntlid.parse().ok()?;
    Some(Reply {
        instance: Instance(instance.parse().ok()?),
        cntlid: Some(cntlid).filter(|&cntlid| cntlid != NO_CNTLID),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let reply = |instance, cntlid| {
            let instance = Instance(instance);
            Ok(Reply { instance, cntlid })
        };
        assert_eq!(Reply::parse("instance=0,cntlid=1\n"), reply(0, Some(1)));
        assert_eq!(Reply::parse("instance=12,cntlid=0\n"), reply(12, Some(0)));
        assert_eq!(Reply::parse("instance=3,cntlid=65535\n"), reply(3, None));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "\n",
            "instance=1,cntlid=1",
            "instance=1,cntlid=1\n\n",
            "instance=-1,cntlid=-1\n",
            "instance=-1,cntlid=-1,transport=%s\n",
            "instance=1,cntlid=65536\n",
            "instance=+1,cntlid=1\n",
            "instance=,cntlid=\n",
            "instance=4294967296,cntlid=1\n",
            "instance=1, cntlid=1\n",
            "garbage\n",
        ] {
            assert!(Reply::parse(text).is_err(), "{text:?}");
        }
    }
}
