//! Sharing an image with projects (reference A.7).

use super::{Caller, Control, Error, Result, Rule, db, image::is_wide, policy::Target, quota};
use crate::model::{Image, ImageId, Member, MemberStatus, ProjectId, Visibility};

impl Control {
    /// Offers the image to a project.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::Denied`], [`Error::MembersDenied`] (where the image is not `shared`),
    /// [`Error::TooManyMembers`], [`Error::DuplicateMember`], [`Error::WideText`].
    pub async fn member_create(
        &self,
        caller: &Caller,
        id: &ImageId,
        member: &ProjectId,
    ) -> Result<Member> {
        caller.may_change()?;
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        self.check_changeable(caller, &image, "create")?;
        self.allow_member(Rule::AddMember, caller, &image)?;
        let members = self.db.members(id, &caller.viewer()).await?;
        let quota = self.settings.image_member_quota;
        if let Some((attempted, maximum)) = quota::over(quota, members.len() + 1) {
            return Err(Error::TooManyMembers {
                image: image.id,
                attempted,
                maximum,
            });
        }
        if is_wide(member.as_str()) {
            return Err(Error::WideText("Member".to_owned()));
        }
        match self.db.member_add(id, member).await {
            Ok(member) => Ok(member),
            Err(db::Error::Duplicate(_)) => Err(Error::DuplicateMember {
                image: image.id,
                member: member.clone(),
            }),
            Err(db::Error::NotFound) => Err(Error::ParentNotFound(image.id)),
            Err(error) => Err(error.into()),
        }
    }

    /// The members that the caller may know of.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::MembersUnlisted`], [`Error::Denied`].
    pub async fn member_list(&self, caller: &Caller, id: &ImageId) -> Result<Vec<Member>> {
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        if image.visibility != Visibility::Shared {
            return Err(Error::MembersUnlisted(image.id));
        }
        self.allow_member(Rule::GetMembers, caller, &image)?;
        let target = Target::Image(&image);
        if !self.policy.holds(Rule::GetMember, caller, target) {
            return Ok(Vec::new());
        }
        Ok(self.db.members(id, &caller.viewer()).await?)
    }

    /// One membership.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::NoMembers`], [`Error::MemberNotFound`].
    pub async fn member_show(
        &self,
        caller: &Caller,
        id: &ImageId,
        member: &ProjectId,
    ) -> Result<Member> {
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        if image.visibility != Visibility::Shared {
            return Err(Error::NoMembers);
        }
        let found = self.find(caller, &image, member).await;
        found.map_err(|error| match error {
            Error::Denied(rule) => Error::DeniedAsMissing(rule),
            other => other,
        })
    }

    /// What a member says to the offer. `status` is the client's word for it.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::MembersDenied`], [`Error::MemberNotFound`],
    /// [`Error::MemberStatus`].
    pub async fn member_update(
        &self,
        caller: &Caller,
        id: &ImageId,
        member: &ProjectId,
        status: &str,
    ) -> Result<Member> {
        caller.may_change()?;
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        self.check_changeable(caller, &image, "update")?;
        self.find(caller, &image, member).await?;
        self.allow_member(Rule::ModifyMember, caller, &image)?;
        let status: MemberStatus = status.parse().map_err(|_| Error::MemberStatus)?;
        let updated = self.db.member_update(id, member, status).await;
        updated.map_err(|error| missing(error, &image, member))
    }

    /// Takes the offer back.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::MembersDenied`], [`Error::MemberNotFound`].
    pub async fn member_delete(
        &self,
        caller: &Caller,
        id: &ImageId,
        member: &ProjectId,
    ) -> Result<()> {
        caller.may_change()?;
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        self.check_changeable(caller, &image, "delete")?;
        self.find(caller, &image, member).await?;
        self.allow_member(Rule::DeleteMember, caller, &image)?;
        let deleted = self.db.member_delete(id, member).await;
        deleted.map_err(|error| missing(error, &image, member))
    }

    /// Only `shared` images have members. Before the rules of today their owner alone gave and
    /// took, and never said what became of it.
    fn check_changeable(&self, caller: &Caller, image: &Image, action: &'static str) -> Result<()> {
        let own = image.owner == caller.project;
        let by_owner = match action {
            "update" => !own,
            "create" => own && image.owner.is_some(),
            _ => own,
        };
        let old = self.policy.checks_ownership() && !caller.is_admin;
        if image.visibility == Visibility::Shared && (by_owner || !old) {
            return Ok(());
        }
        Err(Error::MembersDenied {
            action,
            image: image.id.clone(),
        })
    }

    /// A rule about members comes after that about their image.
    fn allow_member(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<()> {
        self.allow(Rule::GetImage, caller, image)?;
        self.policy.allow(rule, caller, Target::Image(image))
    }

    async fn find(&self, caller: &Caller, image: &Image, member: &ProjectId) -> Result<Member> {
        self.allow_member(Rule::GetMember, caller, image)?;
        let found = self.db.member(&image.id, member, &caller.viewer()).await;
        found.map_err(|error| missing(error, image, member))
    }
}

fn missing(error: db::Error, image: &Image, member: &ProjectId) -> Error {
    match error {
        db::Error::NotFound => Error::MemberNotFound {
            image: image.id.clone(),
            member: member.clone(),
        },
        error => error.into(),
    }
}
