//! Rows of the command table: access control lists.

use crate::row::{integer, oneof, row, string, word};
use crate::{Flags as F, Group, Id, Row};

const ADMIN: &[F] = &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE];
const ANYBODY: &[F] = &[F::NOSCRIPT, F::LOADING, F::STALE];

pub(super) const ROWS: &[Row] = &[row(Id::Acl, "acl", -2, Group::Server, "6.0.0")
    .docs("Container of commands about users and what they may do", "Depends on the subcommand")
    .flags(&[])
    .subcommands(&[
        row(Id::AclCat, "acl|cat", -2, Group::Server, "6.0.0")
            .docs("Lists the categories, or the commands of one", "O(N), N commands")
            .flags(ANYBODY)
            .args(&[string("categoryname").optional()]),
        row(Id::AclDeluser, "acl|deluser", -3, Group::Server, "6.0.0")
            .docs("Removes users and closes their connections", "O(N), N connections")
            .flags(ADMIN)
            .args(&[string("username").multiple()]),
        row(Id::AclDryrun, "acl|dryrun", -4, Group::Server, "7.0.0")
            .docs("Tells whether a user may run a command, without running it", "O(N), N rules of the user")
            .flags(ADMIN)
            .args(&[string("username"), string("command"), string("arg").optional().multiple()]),
        row(Id::AclGenpass, "acl|genpass", -2, Group::Server, "6.0.0")
            .docs("Makes up a password", "O(1)")
            .flags(ANYBODY)
            .args(&[integer("bits").optional()]),
        row(Id::AclGetuser, "acl|getuser", 3, Group::Server, "6.0.0")
            .docs("Rules of a user", "O(N), N rules of the user")
            .flags(ADMIN)
            .args(&[string("username")]),
        row(Id::AclHelp, "acl|help", 2, Group::Server, "6.0.0")
            .docs("Describes the subcommands", "O(1)")
            .flags(&[F::LOADING, F::STALE]),
        row(Id::AclList, "acl|list", 2, Group::Server, "6.0.0")
            .docs("Rules of all users, as a file of rules has them", "O(N), N users")
            .flags(ADMIN),
        row(Id::AclLoad, "acl|load", 2, Group::Server, "6.0.0")
            .docs("Reads the users again from the metadata log", "O(N), N users")
            .flags(ADMIN),
        row(Id::AclLog, "acl|log", -2, Group::Server, "6.0.0")
            .docs("What was denied lately", "O(N), N entries shown")
            .flags(ADMIN)
            .args(&[oneof("operation", &[integer("count"), word("reset", "RESET")]).optional()]),
        row(Id::AclSave, "acl|save", 2, Group::Server, "6.0.0")
            .docs("Answers OK: a change of users is answered when the metadata log has it", "O(1)")
            .flags(ADMIN),
        row(Id::AclSetuser, "acl|setuser", -3, Group::Server, "6.0.0")
            .docs("Creates or changes a user", "O(N), N rules")
            .flags(ADMIN)
            .args(&[string("username"), string("rule").optional().multiple()]),
        row(Id::AclUsers, "acl|users", 2, Group::Server, "6.0.0")
            .docs("Names of all users", "O(N), N users")
            .flags(ADMIN),
        row(Id::AclWhoami, "acl|whoami", 2, Group::Server, "6.0.0")
            .docs("The user of this connection", "O(1)")
            .flags(ANYBODY),
    ])];
