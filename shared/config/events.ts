/** Who wants to follow a pool, as a function of the config gets it. */
export interface FollowRequest {
  /** the pool */
  path: string
  /** the value of a header. Browsers send none of a page's own with an `EventSource`; what a page has to say goes into the URL */
  header: (name: string) => string | undefined
  /** what follows on the `?` of the URL */
  query: URLSearchParams
  /** the client's IP address, if it is known */
  address?: string | undefined
}

/**
 * Whether somebody may follow: true shows what anybody may see, 'whole' each event as handlers get it, with what payers and the machine have written for one another
 * (docs/push.md).
 */
export type FollowDecision = boolean | 'whole'

/** Who may follow a pool over HTTP: true for everybody, false for nobody, or a function that decides by the request. */
export type EventsSetting = boolean | ((request: FollowRequest) => FollowDecision | Promise<FollowDecision>)

/** Whether somebody may be let in. */
export function hasEvents(events: EventsSetting | undefined): events is true | Exclude<EventsSetting, boolean> {
  return events !== undefined && events !== false
}
