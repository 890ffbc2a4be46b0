//! The forms in which roles and policies are written.

/// The form of roles and policies. Guards and steps are the same in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One policy document per file.
    Json,
    /// One template per account.
    CloudFormation,
    /// One module per account, for Terraform and `OpenTofu`.
    Terraform,
}

impl Format {
    /// The thing that an administrator deploys.
    pub(super) fn deployed(self) -> &'static str {
        match self {
            Self::Json => "files",
            Self::CloudFormation => "template",
            Self::Terraform => "module",
        }
    }
}
