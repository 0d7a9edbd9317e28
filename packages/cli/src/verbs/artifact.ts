import type { Command } from "commander";
import { askedArtifact } from "../judging/list.ts";
import { findOut, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { type ArtifactType, artifactTypeOption } from "./fingerprint.ts";

export function define(command: Command, session: Session): void {
  command
    .command("show")
    .description("show what it is, where it is, who pushed it, what is said about it and what was decided")
    .argument("<subject>", "a file, a digest (sha256:…), or an image ([host/]name:tag or @sha256:…)")
    .addOption(artifactTypeOption())
    .option("--repository <name>", "org/name of the repository it is to be used from (default: from the reference)")
    .action((subject: string, options: { artifactType?: ArtifactType; repository?: string }) =>
      findOut(async () => {
        const api = await organisationClient(session);
        const asked = await askedArtifact(session, api, subject, options);
        const [{ readStory }, { storyJson, storyText }] = await Promise.all([
          import("../artifact/story.ts"),
          import("../artifact/told.ts"),
        ]);
        const story = await readStory(session, api, asked);
        session.output.verdict(storyJson(story), storyText(story));
      }),
    );
}
