import type { Session } from "../session.ts";
import { findCredentials } from "./credentials.ts";
import { type Image, ownOrigin } from "./image.ts";
import { Registry } from "./registry.ts";

/** The repository of an image, with the credentials this run has for it; closed with the session. */
export async function connect(session: Session, image: Image): Promise<Registry> {
  const settings = await session.settings();
  const transport = await session.transport();
  let found: ReturnType<typeof findCredentials> | undefined;
  const credentials = (): NonNullable<typeof found> => {
    found ??= findCredentials(image.host, image.repository, settings, session.env);
    return found;
  };
  return new Registry(image.host, image.repository, transport, credentials, ownOrigin(image, settings));
}
