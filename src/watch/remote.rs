//! Which file systems do not tell what others do to them.
//!
//! inotify hears what passes through this kernel. What another machine or a program behind FUSE
//! changes is not heard, so such a root, or such a project, is polled.

use std::path::Path;

/// Whether changes of the file system at `path` may go unheard.
#[cfg(target_os = "linux")]
pub(super) fn is_remote(path: &Path) -> bool {
    // linux/magic.h: NFS, SMB, CIFS, SMB2, FUSE (virtiofs too), 9P, Ceph, AFS (OpenAFS and the
    // kernel's), Coda, NCP, OCFS2; linux/gfs2_ondisk.h: GFS2; fs/vboxsf: a virtual machine's folders
    const MAGIC: [u64; 14] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x6573_5546,
        0x0102_1997,
        0x00C3_6400,
        0x5346_414F,
        0x6B41_4653,
        0x7375_7245,
        0x564C,
        0x7461_636F,
        0x0116_1970,
        0x786F_4256,
    ];
    #[allow(clippy::cast_sign_loss)] // the type's sign differs from platform to platform
    rustix::fs::statfs(path).is_ok_and(|found| MAGIC.contains(&(found.f_type as u64 & 0xFFFF_FFFF)))
}

/// Whether changes of the file system at `path` may go unheard.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_remote(_: &Path) -> bool {
    false
}
