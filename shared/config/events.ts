/** Who wants to follow a pool, as a function of the config gets it. */
export interface FollowRequest {
  /** the pool */
  path: string
  /** the value of a header. A page cannot set headers on an `EventSource`: it puts its token into the URL */
  header: (name: string) => string | undefined
  /** the query of the URL, after `?` */
  query: URLSearchParams
  /** the client's IP address, if it is known */
  address?: string | undefined
}

/**
 * Whether a client may follow. True: it gets events without their private fields. 'whole': it gets all fields, as handlers do (docs/push.md).
 */
export type FollowDecision = boolean | 'whole'

/** Who may follow a pool over HTTP: true for everybody, false for nobody, or a function that decides by the request. */
export type EventsSetting = boolean | ((request: FollowRequest) => FollowDecision | Promise<FollowDecision>)

/** Whether somebody may be let in. */
export function hasEvents(events: EventsSetting | undefined): events is true | Exclude<EventsSetting, boolean> {
  return events !== undefined && events !== false
}
