import type { Session } from "../session.ts";
import { Transport } from "../transport.ts";
import { findCredentials } from "./credentials.ts";
import type { Image } from "./image.ts";
import { Registry } from "./registry.ts";

/** The repository of an image, with the credentials this run has for it; closed with the session. */
export async function connect(session: Session, image: Image): Promise<Registry> {
  const settings = await session.settings();
  const transport = new Transport();
  session.onClose(() => transport.close());
  let found: ReturnType<typeof findCredentials> | undefined;
  return new Registry(image.host, image.repository, transport, () => {
    found ??= findCredentials(image.host, image.repository, settings, session.env);
    return found;
  });
}
